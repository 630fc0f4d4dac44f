"""Verbs of names and documentation by the kind of what they do.

``read`` gets what is there; ``write`` changes what lasts beyond the call, or sends it; ``compute`` derives a new value;
``convert`` changes the form of one; ``check`` decides or asserts; ``wire`` makes, connects, runs and ends the parts of
a program.
"""

INTENT_VERBS = {
    "read": (
        "access acquire ask browse capture collect consume count dequeue detect discover download enumerate examine "
        "extract fetch find gather get getvalue grab inspect iterate lease len list load locate look_up lookup next "
        "observe obtain paginate peek poll pop pull query read readall readinto readline readlines recall receive "
        "recv retrieve return scan search see show size tail take tell use view visit walk watch yield"
    ),
    "write": (
        "add append archive assign ban block broadcast change clean clear commit complete copy decrement del delete "
        "demote destroy disable discard drop echo edit emit enable enqueue erase evict expire favorite favourite fill "
        "flush follow forget hide highlight increment insert invalidate invite keep kick like log log_in logout mark "
        "materialise materialize modify move mutate note notify overwrite patch persist populate post prepend print "
        "promote prune publish purge push put record remove rename replace reply report reset restore rm rollback "
        "save schedule seed send set setdefault share shift ship sign_up store submit subscribe swap tag throw toggle "
        "touch track truncate unfavorite unfavourite unfollow unlike unset update update_or_create upgrade upload "
        "upsert vote warn write writelines"
    ),
    "compute": (
        "accumulate aggregate approximate average bisect calc calculate choose clamp classify cluster combine compute "
        "concat concatenate deduce deduplicate derive diff digest divide estimate eval evaluate exclude extrapolate "
        "filter fit fold gen generate group guess hash infer interpolate intersect maximise maximize mean measure "
        "merge minimise minimize mix multiply negate optimise optimize order partition permute pick predict "
        "prioritize project rank reduce reverse sample score select shuffle sign simulate solve sort subtract sum "
        "tally train union weigh"
    ),
    "convert": (
        "adapt anonymise anonymize as canonicalize capitalize cast coerce compile compress convert cut dasherize "
        "decode decompress decrypt dedent deflate dehydrate describe deserialise deserialize display dump dumps "
        "encode encrypt escape expand explode flatten fmt format from humanize hydrate indent inflate into join "
        "jsonify loads localize lower map marshal mask normalise normalize pack pad parse pluralize pretty quote "
        "redact render repr represent sanitise sanitize serialise serialize slugify split spread str stringify strip "
        "substitute to tokenise tokenize tostring transcode transform translate transpose trim unescape unmarshal "
        "unpack unquote unwrap unzip upper zip"
    ),
    "check": (
        "accept accepts allow allows any are assert assure audit authenticate authorise authorize bench benchmark can "
        "check compare confirm contains could deny depends diagnose did does ends ensure equal equals exist exists "
        "expect forbid guard has have includes is isatty isinstance lint match matches must need needs permit ping "
        "prevent probe refuse reject require requires should starts supports test try validate verify was were"
    ),
    "wire": (
        "abort activate alloc announce apply attach await begin bind boot bootstrap build cache call cancel catch "
        "chain clean_up clone close configure connect construct create deactivate declare decorate define delegate "
        "deploy destruct detach dial dispatch dispose do embed end enter exec execute exit export extend fail fake "
        "finalise finalize finish fire fork forward handle implement import include init initialise initialize inject "
        "install instantiate instrument intercept interrupt invoke issue launch link listen lock log_out main make "
        "memoize migrate mk mock monkeypatch mount nest new on open override own pass pause perform plug prepare "
        "process propagate provide proxy raise react recover redirect refresh register release reload reopen respond "
        "restart resume retry roll_back route run seek serve set_up setup shut_down shutdown sign_in sign_out sleep "
        "spawn spy start start_up stop stub suspend switch sync synchronize tear tear_down teardown terminate then "
        "trigger unbind unlock unmount unregister wait wake wire work wrap"
    ),
}
KIND_OF_VERB = {verb: kind for kind, verbs in INTENT_VERBS.items() for verb in verbs.split()}
