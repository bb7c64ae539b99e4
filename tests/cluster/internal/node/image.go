package node

import (
	"context"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
)

// Image says what runs in place of a container image.
type Image struct {
	Command []string          `json:"command"`         // its entry point
	Args    []string          `json:"args,omitempty"`  // its default arguments
	Env     map[string]string `json:"env,omitempty"`   // below what the pod sets
	Cwd     string            `json:"cwd,omitempty"`   // its working directory
	Paths   map[string]string `json:"paths,omitempty"` // paths inside the image → real ones
}

// image finds the mapping for an image reference: by all of it, or by its repository without tag and digest.
func (f *Fleet) image(reference string) *Image {
	if image, ok := f.options.Images[reference]; ok {
		return &image
	}
	repository, _ := splitImage(reference)
	if image, ok := f.options.Images[repository]; ok {
		return &image
	}
	return nil
}

// process resolves a container to the process that stands for it.
func (i *Image) process(ctx context.Context, pod *corev1.Pod, container *corev1.Container, src *sources, volumes map[string]string, loopback string) (processSpec, error) {
	resolved, err := environment(ctx, pod, container, src)
	if err != nil {
		return processSpec{}, err
	}
	env := map[string]string{"PATH": os.Getenv("PATH"), "HOME": os.TempDir()}
	for name, value := range i.Env {
		env[name] = value
	}
	env["HOSTNAME"] = pod.Name
	paths := mounts(container, volumes)
	for from, to := range i.Paths {
		paths[from] = to
	}
	t := translate{paths: paths, addresses: map[string]string{"0.0.0.0": loopback, "::": loopback, pod.Status.PodIP: loopback}}
	for name, value := range resolved {
		env[name] = t.value(value)
	}
	argv := append([]string(nil), i.Command...)
	if len(container.Command) > 0 {
		argv = t.values(container.Command)
	}
	switch {
	case len(container.Args) > 0:
		argv = append(argv, t.values(container.Args)...)
	case len(container.Command) == 0:
		argv = append(argv, i.Args...)
	}
	if len(argv) == 0 {
		return processSpec{}, fmt.Errorf("no command specified")
	}
	spec := processSpec{argv: argv, env: environList(env), dir: i.Cwd}
	if container.WorkingDir != "" {
		spec.dir = t.value(container.WorkingDir)
	}
	if limit, ok := container.Resources.Limits[corev1.ResourceMemory]; ok {
		spec.memoryLimit = limit.Value()
	}
	return spec, nil
}
