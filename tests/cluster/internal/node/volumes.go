package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
)

// mountVolumes writes the volumes of a pod below dir and returns where each one is. They are written once:
// a later change of a ConfigMap or Secret does not reach the files (the kubelet would bring it within a minute).
func mountVolumes(ctx context.Context, pod *corev1.Pod, dir string, src *sources) (map[string]string, error) {
	result := map[string]string{}
	for i := range pod.Spec.Volumes {
		volume := &pod.Spec.Volumes[i]
		path := filepath.Join(dir, volume.Name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, err
		}
		files, err := volumeFiles(ctx, pod, volume, src)
		if err != nil {
			return nil, fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", volume.Name, err)
		}
		for name, content := range files {
			file := filepath.Join(path, filepath.Clean("/"+name))
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				return nil, err
			}
			if err := os.WriteFile(file, content, 0o600); err != nil {
				return nil, err
			}
		}
		result[volume.Name] = path
	}
	return result, nil
}

func volumeFiles(ctx context.Context, pod *corev1.Pod, volume *corev1.Volume, src *sources) (map[string][]byte, error) {
	switch {
	case volume.EmptyDir != nil:
		return nil, nil
	case volume.ConfigMap != nil:
		return configMapFiles(ctx, volume.ConfigMap.Name, volume.ConfigMap.Items, volume.ConfigMap.Optional, src)
	case volume.Secret != nil:
		return secretFiles(ctx, volume.Secret.SecretName, volume.Secret.Items, volume.Secret.Optional, src)
	case volume.DownwardAPI != nil:
		return downwardFiles(pod, volume.DownwardAPI.Items)
	case volume.Projected != nil:
		result := map[string][]byte{}
		for _, source := range volume.Projected.Sources {
			var files map[string][]byte
			var err error
			switch {
			case source.ConfigMap != nil:
				files, err = configMapFiles(ctx, source.ConfigMap.Name, source.ConfigMap.Items, source.ConfigMap.Optional, src)
			case source.Secret != nil:
				files, err = secretFiles(ctx, source.Secret.Name, source.Secret.Items, source.Secret.Optional, src)
			case source.DownwardAPI != nil:
				files, err = downwardFiles(pod, source.DownwardAPI.Items)
			default:
				err = fmt.Errorf("the test node does not know this projected source (tokens are not issued to pods)")
			}
			if err != nil {
				return nil, err
			}
			for name, content := range files {
				result[name] = content
			}
		}
		return result, nil
	}
	return nil, fmt.Errorf("the test node does not know this kind of volume")
}

func configMapFiles(ctx context.Context, name string, items []corev1.KeyToPath, optional *bool, src *sources) (map[string][]byte, error) {
	found, err := src.configMap(ctx, name, optional)
	if err != nil || found == nil {
		return nil, err
	}
	all := map[string][]byte{}
	for key, value := range found.Data {
		all[key] = []byte(value)
	}
	for key, value := range found.BinaryData {
		all[key] = value
	}
	return pick(all, items, optional)
}

func secretFiles(ctx context.Context, name string, items []corev1.KeyToPath, optional *bool, src *sources) (map[string][]byte, error) {
	found, err := src.secret(ctx, name, optional)
	if err != nil || found == nil {
		return nil, err
	}
	return pick(found.Data, items, optional)
}

func pick(all map[string][]byte, items []corev1.KeyToPath, optional *bool) (map[string][]byte, error) {
	if len(items) == 0 {
		return all, nil
	}
	result := map[string][]byte{}
	for _, item := range items {
		content, ok := all[item.Key]
		if !ok && (optional == nil || !*optional) {
			return nil, fmt.Errorf("references non-existent config key: %s", item.Key)
		}
		if ok {
			result[item.Path] = content
		}
	}
	return result, nil
}

func downwardFiles(pod *corev1.Pod, items []corev1.DownwardAPIVolumeFile) (map[string][]byte, error) {
	result := map[string][]byte{}
	for _, item := range items {
		if item.FieldRef == nil {
			return nil, fmt.Errorf("the test node knows only fieldRef in downward API volumes")
		}
		value, err := field(pod, item.FieldRef.FieldPath)
		if err != nil {
			return nil, err
		}
		result[item.Path] = []byte(value)
	}
	return result, nil
}

// mounts maps the paths that a container sees to real ones.
func mounts(container *corev1.Container, volumes map[string]string) map[string]string {
	result := map[string]string{}
	for _, mount := range container.VolumeMounts {
		if real, ok := volumes[mount.Name]; ok {
			result[mount.MountPath] = filepath.Join(real, filepath.Clean("/"+mount.SubPath))
		}
	}
	return result
}
