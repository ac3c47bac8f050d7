//go:build tools

// The Kubernetes commands that the tests run, built by scripts/setup.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
