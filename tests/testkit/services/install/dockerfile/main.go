// Prints the stages of a Dockerfile that a target is made of, and its image's config, as BuildKit understands them: JSON. Base
// images are not asked for; whatever they bring is empty.
//
//	dockerfile FILE TARGET
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Images knows every image, as one without anything.
type images struct{}

func (images) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	config := []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers"}}`)
	return ref, digest.FromBytes(config), config, nil
}

// Step is an operation of the build.
type step struct {
	Source string   `json:"source,omitempty"`
	Run    []string `json:"run,omitempty"`
	Caches []string `json:"caches,omitempty"`
	Copy   []string `json:"copy,omitempty"`
}

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(path, target string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	ctx := context.Background()
	platform := ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	options := dockerfile2llb.ConvertOpt{MetaResolver: images{}, TargetPlatform: &platform}
	options.Target = target
	options.BuildPlatforms = []ocispecs.Platform{platform}
	result, err := dockerfile2llb.Dockerfile2LLB(ctx, text, options)
	if err != nil {
		return err
	}
	definition, err := result.State.Marshal(ctx, llb.LinuxAmd64)
	if err != nil {
		return err
	}
	steps := []step{}
	for _, bytes := range definition.Def {
		var op pb.Op
		if err := op.UnmarshalVT(bytes); err != nil {
			return err
		}
		steps = append(steps, describe(&op))
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"steps": steps, "config": result.Image.Config})
}

func describe(op *pb.Op) step {
	var made step
	if source := op.GetSource(); source != nil {
		made.Source = source.Identifier
	}
	if exec := op.GetExec(); exec != nil {
		made.Run = exec.Meta.Args
		for _, mount := range exec.Mounts {
			if mount.MountType == pb.MountType_CACHE {
				made.Caches = append(made.Caches, mount.Dest)
			}
		}
	}
	if file := op.GetFile(); file != nil {
		for _, action := range file.Actions {
			if copied := action.GetCopy(); copied != nil {
				made.Copy = append(made.Copy, copied.Src+" "+copied.Dest)
			}
		}
	}
	return made
}
