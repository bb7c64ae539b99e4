package node

import (
	"context"
	"fmt"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	podresource "k8s.io/kubernetes/pkg/api/v1/resource"
	"k8s.io/kubernetes/pkg/fieldpath"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
)

// configError is a container that cannot be made until someone changes something (CreateContainerConfigError).
type configError struct{ message string }

func (e configError) Error() string { return e.message }

// sources reads ConfigMaps and Secrets of one namespace, each at most once.
type sources struct {
	client     kubernetes.Interface
	namespace  string
	configMaps map[string]*corev1.ConfigMap
	secrets    map[string]*corev1.Secret
}

func newSources(client kubernetes.Interface, namespace string) *sources {
	return &sources{client, namespace, map[string]*corev1.ConfigMap{}, map[string]*corev1.Secret{}}
}

// configMap returns nil, and no error, for a missing one that is optional.
func (s *sources) configMap(ctx context.Context, name string, optional *bool) (*corev1.ConfigMap, error) {
	if found, ok := s.configMaps[name]; ok {
		return found, nil
	}
	found, err := s.client.CoreV1().ConfigMaps(s.namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if optional != nil && *optional {
			return nil, nil
		}
		return nil, configError{fmt.Sprintf("configmap %q not found", name)}
	}
	if err != nil {
		return nil, err
	}
	s.configMaps[name] = found
	return found, nil
}

// secret returns nil, and no error, for a missing one that is optional.
func (s *sources) secret(ctx context.Context, name string, optional *bool) (*corev1.Secret, error) {
	if found, ok := s.secrets[name]; ok {
		return found, nil
	}
	found, err := s.client.CoreV1().Secrets(s.namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if optional != nil && *optional {
			return nil, nil
		}
		return nil, configError{fmt.Sprintf("secret %q not found", name)}
	}
	if err != nil {
		return nil, err
	}
	s.secrets[name] = found
	return found, nil
}

// environment resolves envFrom and env of a container as the kubelet does: later ones win, and $(NAME) means what was
// set before. Variables of services are not set.
func environment(ctx context.Context, pod *corev1.Pod, container *corev1.Container, src *sources) (map[string]string, error) {
	result := map[string]string{}
	for _, from := range container.EnvFrom {
		switch {
		case from.ConfigMapRef != nil:
			found, err := src.configMap(ctx, from.ConfigMapRef.Name, from.ConfigMapRef.Optional)
			if err != nil {
				return nil, err
			}
			if found != nil {
				for key, value := range found.Data {
					result[from.Prefix+key] = value
				}
			}
		case from.SecretRef != nil:
			found, err := src.secret(ctx, from.SecretRef.Name, from.SecretRef.Optional)
			if err != nil {
				return nil, err
			}
			if found != nil {
				for key, value := range found.Data {
					result[from.Prefix+key] = string(value)
				}
			}
		}
	}
	own := map[string]string{}
	mapping := expansion.MappingFuncFor(own, result)
	for _, env := range container.Env {
		value := ""
		switch {
		case env.Value != "":
			value = expansion.Expand(env.Value, mapping)
		case env.ValueFrom != nil:
			resolved, set, err := valueFrom(ctx, env.ValueFrom, pod, container, src)
			if err != nil {
				return nil, err
			}
			if !set {
				continue
			}
			value = resolved
		}
		own[env.Name] = value
	}
	for name, value := range own {
		result[name] = value
	}
	return result, nil
}

func valueFrom(ctx context.Context, from *corev1.EnvVarSource, pod *corev1.Pod, container *corev1.Container, src *sources) (value string, set bool, err error) {
	switch {
	case from.FieldRef != nil:
		value, err = field(pod, from.FieldRef.FieldPath)
		return value, true, err
	case from.ResourceFieldRef != nil:
		value, err = podresource.ExtractContainerResourceValue(from.ResourceFieldRef, container)
		return value, true, err
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		found, err := src.configMap(ctx, ref.Name, ref.Optional)
		if err != nil || found == nil {
			return "", false, err
		}
		value, ok := found.Data[ref.Key]
		return value, ok, missingKey(ok, ref.Optional, ref.Key, "ConfigMap", pod.Namespace, ref.Name)
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		found, err := src.secret(ctx, ref.Name, ref.Optional)
		if err != nil || found == nil {
			return "", false, err
		}
		value, ok := found.Data[ref.Key]
		return string(value), ok, missingKey(ok, ref.Optional, ref.Key, "Secret", pod.Namespace, ref.Name)
	}
	return "", false, configError{"valueFrom has a source that the test node does not know"}
}

func missingKey(found bool, optional *bool, key, kind, namespace, name string) error {
	if found || (optional != nil && *optional) {
		return nil
	}
	return configError{fmt.Sprintf("couldn't find key %s in %s %s/%s", key, kind, namespace, name)}
}

func field(pod *corev1.Pod, path string) (string, error) {
	switch path {
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP":
		return pod.Status.HostIP, nil
	case "status.podIP", "status.podIPs":
		return pod.Status.PodIP, nil
	}
	return fieldpath.ExtractFieldPathAsString(pod, path)
}

// translate replaces what a container sees by what is there, since its process shares the machine's files and network:
// a value that is a path below a mounted volume becomes the real path, and the address of all interfaces, or of the
// pod, becomes the loopback address that only this pod has.
type translate struct {
	paths     map[string]string // by the path in the container
	addresses map[string]string
}

func (t translate) value(value string) string {
	if real, ok := t.addresses[value]; ok {
		return real
	}
	best := ""
	for path := range t.paths {
		if (value == path || strings.HasPrefix(value, strings.TrimSuffix(path, "/")+"/")) && len(path) > len(best) {
			best = path
		}
	}
	if best == "" {
		return value
	}
	return t.paths[best] + strings.TrimPrefix(value, strings.TrimSuffix(best, "/"))
}

func (t translate) values(values []string) []string {
	result := make([]string, len(values))
	for i, value := range values {
		result[i] = t.value(value)
	}
	return result
}

func environList(env map[string]string) []string {
	result := make([]string, 0, len(env))
	for name, value := range env {
		result = append(result, name+"="+value)
	}
	sort.Strings(result)
	return result
}
