//go:build tools

// What checks how the project is installed, built by scripts/setup.
package tools

import _ "sigs.k8s.io/kind"
