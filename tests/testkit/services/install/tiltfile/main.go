// Runs a Tiltfile in the language that Tilt speaks, with Tilt's functions played: each takes the parameters that Tilt's has, and
// none other, and is only written down. Prints the calls as JSON: [{"function": "helm", "arguments": {"name": …}}, …].
//
//	tiltfile FILE
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	starlarkjson "go.starlark.net/lib/json"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
	"sigs.k8s.io/yaml"
)

// The parameters of each function, in Tilt's order.
var functions = map[string]string{
	"version_settings":   "check_updates constraint",
	"allow_k8s_contexts": "contexts",
	"local_resource": "name cmd deps trigger_mode resource_deps ignore auto_init serve_cmd cmd_bat serve_cmd_bat " +
		"allow_parallel links labels env serve_env readiness_probe dir serve_dir",
	"docker_build": "ref context build_args dockerfile dockerfile_contents live_update match_in_env_vars ignore only " +
		"entrypoint target ssh network secret extra_tag container_args cache_from pull platform extra_hosts",
	"sync":     "local_path remote_path",
	"run":      "cmd trigger echo_off",
	"k8s_yaml": "yaml allow_duplicates",
	"k8s_kind": "kind image_json_path api_version image_object pod_readiness",
	"k8s_resource": "workload new_name port_forwards extra_pod_selectors trigger_mode resource_deps objects auto_init " +
		"pod_readiness links labels discovery_strategy",
	"port_forward": "local_port container_port name link_path host",
	"helm":         "paths name namespace values set kube_version skip_crds",
	"read_yaml":    "path default",
	"encode_yaml":  "obj",
}

type call struct {
	Function  string         `json:"function"`
	Arguments map[string]any `json:"arguments"`
}

func main() {
	calls, err := run(os.Args[1])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(calls)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(path string) ([]call, error) {
	// As Tilt has them: if, for and while at the top level, and names that are given a second value.
	options := &syntax.FileOptions{Set: true, GlobalReassign: true, Recursion: true, TopLevelControl: true, While: true}
	calls := []call{}
	known := starlark.StringDict{
		"TRIGGER_MODE_AUTO":   starlark.String("auto"),
		"TRIGGER_MODE_MANUAL": starlark.String("manual"),
	}
	for name, parameters := range functions {
		known[name] = starlark.NewBuiltin(name, func(thread *starlark.Thread, builtin *starlark.Builtin, args starlark.Tuple,
			kwargs []starlark.Tuple,
		) (starlark.Value, error) {
			arguments, err := bind(builtin.Name(), strings.Fields(parameters), args, kwargs)
			if err != nil {
				return nil, err
			}
			plain, err := toPlain(thread, arguments)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", builtin.Name(), err)
			}
			calls = append(calls, call{builtin.Name(), plain.(map[string]any)})
			return result(thread, filepath.Dir(path), builtin.Name(), arguments)
		})
	}
	_, err := starlark.ExecFileOptions(options, &starlark.Thread{Name: path}, path, nil, known)
	return calls, err
}

// Bind gives the arguments of a call by name; those that are not given are left out.
func bind(function string, names []string, args starlark.Tuple, kwargs []starlark.Tuple) (*starlark.Dict, error) {
	values := make([]starlark.Value, len(names))
	pairs := []any{}
	for i, name := range names {
		pairs = append(pairs, name+"?", &values[i])
	}
	if err := starlark.UnpackArgs(function, args, kwargs, pairs...); err != nil {
		return nil, err
	}
	arguments := starlark.NewDict(len(names))
	for i, value := range values {
		if value == nil {
			continue
		}
		if err := arguments.SetKey(starlark.String(names[i]), value); err != nil {
			return nil, err
		}
	}
	return arguments, nil
}

// Result is what the Tiltfile gets from a call: the real content of a file, and else something that shows in what it is given to.
func result(thread *starlark.Thread, folder, function string, arguments *starlark.Dict) (starlark.Value, error) {
	switch function {
	case "read_yaml":
		path, _, err := arguments.Get(starlark.String("path"))
		if err != nil {
			return nil, err
		}
		text, err := os.ReadFile(filepath.Join(folder, string(path.(starlark.String))))
		if err != nil {
			return nil, err
		}
		text, err = yaml.YAMLToJSONStrict(text)
		if err != nil {
			return nil, err
		}
		return starlark.Call(thread, starlarkjson.Module.Members["decode"], starlark.Tuple{starlark.String(text)}, nil)
	case "helm", "encode_yaml", "sync", "run", "port_forward":
		shown := starlark.NewDict(1)
		return shown, shown.SetKey(starlark.String(function), arguments)
	default:
		return starlark.None, nil
	}
}

func toPlain(thread *starlark.Thread, value starlark.Value) (any, error) {
	text, err := starlark.Call(thread, starlarkjson.Module.Members["encode"], starlark.Tuple{value}, nil)
	if err != nil {
		return nil, err
	}
	var plain any
	err = json.Unmarshal([]byte(text.(starlark.String)), &plain)
	return plain, err
}
