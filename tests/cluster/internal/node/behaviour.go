package node

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/labels"
)

// BehaviourAnnotation on a pod says how its pretended containers behave: a name, or a Behaviour as JSON.
const BehaviourAnnotation = "test-node/behaviour"

// What a pretended container can be told to do. Where nothing is said it starts, gets ready and stays.
const (
	run              = "run"
	imagePullBackoff = "image-pull-backoff"
	crashLoop        = "crash-loop"
	oomKilled        = "oom-killed"
	exit78           = "exit-78"
	neverReady       = "never-ready"
	unreadyAfter     = "unready-after"
	notLive          = "not-live"
)

var behaviours = []string{run, imagePullBackoff, crashLoop, oomKilled, exit78, neverReady, unreadyAfter, notLive}

// Behaviour is what a pretended container does. image-pull-backoff also holds for containers that are processes.
type Behaviour struct {
	Name          string   `json:"behaviour,omitempty"`
	StartDelayMs  *int64   `json:"startDelayMs,omitempty"`  // until it runs, in place of --pretend-delay
	AfterMs       int64    `json:"afterMs,omitempty"`       // until it crashes or gets unready
	ExitCode      *int32   `json:"exitCode,omitempty"`      // of crash-loop; 1
	Lines         []string `json:"lines,omitempty"`         // what it prints before it crashes, or at the start
	LogEveryMs    int64    `json:"logEveryMs,omitempty"`    // prints a numbered line this often
	CPU           string   `json:"cpu,omitempty"`           // what metrics.k8s.io says it uses; 5m
	Memory        string   `json:"memory,omitempty"`        // 20Mi
	IgnoreSigterm bool     `json:"ignoreSigterm,omitempty"` // runs on until it is killed
	Pretend       bool     `json:"pretend,omitempty"`       // its image would be a process; here it is not
}

// Rule gives a behaviour to the pods that it matches; what it leaves empty matches all.
type Rule struct {
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
	Selector  string `json:"selector,omitempty"` // of labels
	Behaviour
}

func (b *Behaviour) validate() error {
	known := b.Name == ""
	for _, name := range behaviours {
		known = known || b.Name == name
	}
	if !known {
		return fmt.Errorf("behaviour %q is none of %s", b.Name, strings.Join(behaviours, ", "))
	}
	for _, quantity := range []string{b.CPU, b.Memory} {
		if _, err := resource.ParseQuantity(quantity); quantity != "" && err != nil {
			return fmt.Errorf("%q: %w", quantity, err)
		}
	}
	return nil
}

// over lays b over another behaviour: what b says counts.
func (b Behaviour) over(other Behaviour) Behaviour {
	if b.Name == "" {
		b.Name = other.Name
	}
	if b.StartDelayMs == nil {
		b.StartDelayMs = other.StartDelayMs
	}
	if b.AfterMs == 0 {
		b.AfterMs = other.AfterMs
	}
	if b.ExitCode == nil {
		b.ExitCode = other.ExitCode
	}
	if b.Lines == nil {
		b.Lines = other.Lines
	}
	if b.LogEveryMs == 0 {
		b.LogEveryMs = other.LogEveryMs
	}
	if b.CPU == "" {
		b.CPU = other.CPU
	}
	if b.Memory == "" {
		b.Memory = other.Memory
	}
	b.IgnoreSigterm = b.IgnoreSigterm || other.IgnoreSigterm
	b.Pretend = b.Pretend || other.Pretend
	return b
}

func (b Behaviour) after() time.Duration { return time.Duration(b.AfterMs) * time.Millisecond }

// rules are the behaviours given at run time. They win over a pod's annotation, which wins over its image's name;
// of two rules that say something about the same thing the later one wins.
type rules struct {
	mutex   sync.Mutex
	all     []Rule
	parsed  []labels.Selector
	changed chan struct{}
}

func newRules() *rules { return &rules{changed: make(chan struct{})} }

func (r *rules) set(all []Rule) error {
	parsed := make([]labels.Selector, len(all))
	for i := range all {
		selector, err := labels.Parse(all[i].Selector)
		if err != nil {
			return fmt.Errorf("rule %d: %w", i, err)
		}
		if err := all[i].validate(); err != nil {
			return fmt.Errorf("rule %d: %w", i, err)
		}
		parsed[i] = selector
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.all, r.parsed = all, parsed
	close(r.changed)
	r.changed = make(chan struct{})
	return nil
}

// of tells how a container behaves now, and a channel that closes when that may have changed.
func (r *rules) of(pod *corev1.Pod, image string) (Behaviour, <-chan struct{}) {
	result := fromAnnotation(pod.Annotations[BehaviourAnnotation]).over(fromImage(image))
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for i, rule := range r.all {
		if (rule.Namespace == "" || rule.Namespace == pod.Namespace) &&
			(rule.Pod == "" || rule.Pod == pod.Name) &&
			r.parsed[i].Matches(labels.Set(pod.Labels)) {
			result = rule.Behaviour.over(result)
		}
	}
	return result, r.changed
}

func fromAnnotation(value string) Behaviour {
	var b Behaviour
	if strings.HasPrefix(value, "{") {
		if json.Unmarshal([]byte(value), &b) == nil && b.validate() == nil {
			return b
		}
		return Behaviour{}
	}
	b.Name = value
	if b.validate() != nil {
		return Behaviour{}
	}
	return b
}

// fromImage finds a behaviour in `example/crash-loop`, `example/crash-loop:1` or `example/agent:crash-loop`.
func fromImage(image string) Behaviour {
	repository, tag := splitImage(image)
	for _, name := range behaviours {
		if path.Base(repository) == name || tag == name {
			return Behaviour{Name: name}
		}
	}
	return Behaviour{}
}

func splitImage(image string) (repository, tag string) {
	image, _, _ = strings.Cut(image, "@")
	slash := strings.LastIndex(image, "/")
	if colon := strings.LastIndex(image, ":"); colon > slash {
		return image[:colon], image[colon+1:]
	}
	return image, ""
}
