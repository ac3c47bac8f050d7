//go:build tools

// What checks the chart's objects against Kubernetes' schemas, built by scripts/setup.
package tools

import _ "github.com/yannh/kubeconform/cmd/kubeconform"
