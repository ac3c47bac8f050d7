# Sourced by the scripts, with `here` the root of the repository: where services and tools are kept, and their versions.
# shellcheck shell=bash disable=SC2034
cache=${LOGIN_PIPELINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/login-pipeline}
# shellcheck source=../tests/testkit/services/versions
. "$here/tests/testkit/services/versions"

# Where helm and what checks the chart are.
tools_folder() {
  local folder=$cache/tools-helm-$HELM_VERSION-unittest-$HELM_UNITTEST_VERSION-kubeconform-$KUBECONFORM_VERSION
  folder+=-promtool-$PROMETHEUS_VERSION-monitoring-$PROMETHEUS_OPERATOR_VERSION-kubernetes-$KUBERNETES_VERSION
  printf '%s\n' "$folder"
}
