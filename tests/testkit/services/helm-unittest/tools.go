//go:build tools

// The plugin of Helm that runs the chart's suites, built by scripts/setup.
package tools

import _ "github.com/helm-unittest/helm-unittest/cmd/helm-unittest"
