// The etcd server behind the tests' kube-apiserver, built by scripts/setup.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
