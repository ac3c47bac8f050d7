# Sourced by the scripts, with `here` the root of the repository: where services and tools are kept, and their versions.
# shellcheck shell=bash disable=SC2034
cache=${LOGIN_PIPELINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/login-pipeline}
# shellcheck source=../testkit/services/versions
. "$here/testkit/services/versions"
