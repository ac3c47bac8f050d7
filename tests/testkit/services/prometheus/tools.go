//go:build tools

// What checks and tests the alerts, built by scripts/setup.
package tools

import _ "github.com/prometheus/prometheus/cmd/promtool"
