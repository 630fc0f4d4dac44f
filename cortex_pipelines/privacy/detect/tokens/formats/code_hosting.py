"""Token formats of code hosting, package registries and CI."""

from cortex_pipelines.privacy.detect.tokens.checksums import (
    base62_crc32,
    random_looking,
    very_random,
)
from cortex_pipelines.privacy.detect.tokens.format import HEX, LONE, declare

FORMATS = (
    declare(
        "github-token",
        "ghp_ gho_ ghu_ ghs_ ghr_",
        "[A-Za-z0-9]{36}",
        checksum=base62_crc32,
    ),
    declare(
        "github-token", "ghs_", r"[0-9]{1,12}_eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}", end=""
    ),
    declare("github-token", "github_pat_", r"\w{82}"),
    declare(
        "gitlab-token",
        "glpat- gldt- glrt- glrtr- glft- glffct- glsoat-",
        r"[\w-]{20,300}(?:\.[0-9a-z]{2}\.?[0-9a-z]{7})?",
        end="",
    ),
    declare("gitlab-token", "glcbt-", r"[0-9a-zA-Z]{1,5}_[\w-]{20}|[\w-]{20}", end=""),
    declare("gitlab-token", "glimt-", r"[\w-]{25}", end=LONE),
    declare("gitlab-token", "glptt-", r"[\w-]{40}", end=LONE),
    declare("gitlab-token", "glagent-", r"[\w-]{50,1024}"),
    declare("gitlab-token", "gloas-", r"[\w-]{64}", end=LONE),
    declare("gitlab-token", "GR1348941", r"[\w-]{20,50}", end=LONE),
    declare("gitlab-session-cookie", "_gitlab_session=", "[0-9a-z]{32}"),
    declare("bitbucket-app-password", "ATBB", "[A-Za-z0-9]{32}", very_random),
    declare("bitbucket-token", "BBDC-", r"[A-Za-z0-9+/@_-]{40,50}", random_looking, ""),
    declare("atlassian-token", "ATATT3 ATCTT3", r"[A-Za-z0-9_\-=]{60,250}", end=""),
    declare("trello-token", "ATTA", "[0-9a-f]{72}"),
    declare("npm-token", "npm_", "[A-Za-z0-9]{36}", checksum=base62_crc32),
    declare("pypi-token", "pypi-AgE", r"[\w-]{50,1000}", end=LONE),
    declare("rubygems-token", "rubygems_", "[a-f0-9]{48}"),
    declare("crates-io-token", "cio", "[A-Za-z0-9]{32}", very_random),
    declare("clojars-token", "CLOJARS_ clojars_", "[A-Za-z0-9]{60}"),
    declare("nuget-key", "oy2", "[a-z0-9]{43}", random_looking),
    declare("docker-token", "dckr_pat_ dckr_oat_", r"[\w-]{27,32}", end=LONE),
    declare("docker-swarm-key", "SWMTKN-1- SWMKEY-1-", r"[A-Za-z0-9+/-]{43,85}", end=""),
    declare("artifactory-key", "AKC", "[A-Za-z0-9]{10,72}", very_random),
    declare("artifactory-password", "AP5 AP6 APA APB", "[A-Za-z0-9]{8,40}", very_random),
    declare("artifactory-reference-token", "cmVmd", "[A-Za-z0-9]{59}"),
    declare("sourcegraph-token", "sgp_", f"(?:(?:{HEX}{{16}}|local)_)?{HEX}{{40}}"),
    declare("sourcegraph-token", "slk_", f"{HEX}{{64}}"),
    declare("codeclimate-token", "cc-test-reporter-id=", f"{HEX}{{64}}"),
    declare("circleci-token", "CCIPAT_ CCIPRJ_", r"[A-Za-z0-9]{22}_[a-f0-9]{40}"),
    declare("buildkite-token", "bkua_ bkct_", "[A-Za-z0-9]{40}"),
    declare("pulumi-token", "pul-", "[a-f0-9]{40}"),
    declare(
        "terraform-cloud-token",
        "",
        r"[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{60,70}",
        end="",
        inside=".atlasv1.",
    ),
    declare("infracost-key", "ico-", "[A-Za-z0-9]{32}"),
    declare("octopus-deploy-key", "API-", "[A-Z0-9]{26}", random_looking),
    declare("harness-token", "pat. sat.", r"[\w-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}"),
    declare("sonar-token", "squ_ sqp_ sqa_", "[A-Za-z0-9]{40}"),
    declare("prefect-token", "pnu_ pnb_", "[A-Za-z0-9]{36}"),
    declare(
        "doppler-token", "dp.", r"(?:pt|st|ct|sa|scim|audit)\.(?:[\w-]{2,35}\.)?[A-Za-z0-9]{40,44}"
    ),
    declare("unkey-token", "unkey_", "[A-Za-z0-9]{20,60}", random_looking),
    declare("snyk-token", "snyk_uat. snyk_sat.", r"[a-z0-9]{8}\.[\w.-]{20,300}"),
)
