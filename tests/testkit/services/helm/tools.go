//go:build tools

// Helm, which renders and installs the chart in the tests, built by scripts/setup.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
