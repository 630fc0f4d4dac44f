from transformers.utils import logging

from cortex_pipelines.progress import quiet_transformers


def test_bars_are_off_for_the_while_and_as_they_were_before_after_it() -> None:
    logging.enable_progress_bar()
    with quiet_transformers():
        assert not logging.is_progress_bar_enabled()
        with quiet_transformers():
            assert not logging.is_progress_bar_enabled()
        assert not logging.is_progress_bar_enabled()
    assert logging.is_progress_bar_enabled()
