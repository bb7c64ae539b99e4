package node

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// pretended is a container without a process: it prints, gets ready, crashes and ends as its behaviour says.
type pretended struct {
	pod     *corev1.Pod
	image   string
	rules   *rules
	log     *logWriter
	started time.Time

	term     chan struct{}
	termOnce sync.Once
	force    chan exit
	done     chan struct{}
	end      exit
}

func startPretended(pod *corev1.Pod, image string, rules *rules, log *logWriter, started time.Time, adopted bool) *pretended {
	p := &pretended{
		pod: pod, image: image, rules: rules, log: log, started: started,
		term: make(chan struct{}), force: make(chan exit, 1), done: make(chan struct{}),
	}
	go p.live(adopted)
	return p
}

func (p *pretended) live(adopted bool) {
	defer close(p.done)
	defer p.log.close()
	behaviour, changed := p.rules.of(p.pod, p.image)
	if !adopted {
		p.say("INFO", "pretended container started", nil)
	}
	printed := false
	number := 0
	for {
		var crash, tick <-chan time.Time
		if _, _, crashes := p.crash(behaviour); crashes {
			crash = time.After(time.Until(p.started.Add(behaviour.after())))
		} else if !printed {
			p.print(behaviour.Lines)
			printed = true
		}
		if behaviour.LogEveryMs > 0 {
			tick = time.After(time.Duration(behaviour.LogEveryMs) * time.Millisecond)
		}
		select {
		case <-crash:
			lines, end, _ := p.crash(behaviour)
			p.print(lines)
			p.finish(end)
			return
		case <-tick:
			number++
			p.say("INFO", fmt.Sprintf("line %d", number), nil)
		case <-changed:
			behaviour, changed = p.rules.of(p.pod, p.image)
		case end := <-p.force:
			p.finish(end)
			return
		case <-p.term:
			if behaviour.IgnoreSigterm {
				p.say("WARN", "SIGTERM is ignored", nil)
				p.finish(<-p.force)
				return
			}
			p.say("INFO", "stopped", nil)
			p.finish(exit{})
			return
		}
	}
}

// crash tells how a behaviour ends the container, if it does.
func (p *pretended) crash(b Behaviour) (lines []string, end exit, crashes bool) {
	line := func(message, reason string) []string {
		if b.Lines != nil {
			return b.Lines
		}
		return []string{p.format("ERROR", message, map[string]any{"reason": reason})}
	}
	switch b.Name {
	case crashLoop:
		code := int32(1)
		if b.ExitCode != nil {
			code = *b.ExitCode
		}
		return line("the agent crashed: boom", "CRASHED"), exit{code: code}, true
	case exit78:
		return line("plugin @example/missing is not installed", "PLUGIN_NOT_FOUND"), exit{code: 78}, true
	case oomKilled:
		return b.Lines, exit{code: 137, reason: "OOMKilled"}, true
	}
	return nil, exit{}, false
}

func (p *pretended) finish(end exit) {
	end.at = time.Now()
	p.end = end
}

func (p *pretended) say(level, message string, metadata map[string]any) {
	p.log.line("stdout", "F", p.format(level, message, metadata))
}

func (p *pretended) print(lines []string) {
	for _, line := range lines {
		p.log.line("stdout", "F", line)
	}
}

func (p *pretended) format(level, message string, metadata map[string]any) string {
	if metadata == nil {
		metadata = map[string]any{}
	}
	line, _ := json.Marshal(map[string]any{
		"timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"level":     level, "message": message, "source": "pretended", "metadata": metadata,
	})
	return string(line)
}

func (p *pretended) exited() <-chan struct{} { return p.done }
func (p *pretended) ending() exit            { return p.end }
func (p *pretended) terminate()              { p.termOnce.Do(func() { close(p.term) }) }
func (p *pretended) kill()                   { p.endWith(exit{code: 137}) }

// endWith ends the run from outside with a given ending.
func (p *pretended) endWith(end exit) {
	select {
	case p.force <- end:
	default:
	}
}

func (p *pretended) answers(kind probeKind) (bool, string) {
	b, _ := p.rules.of(p.pod, p.image)
	bad := "HTTP probe failed with statuscode: 503"
	switch {
	case kind == readiness && b.Name == neverReady:
		return false, bad
	case kind == readiness && b.Name == unreadyAfter && time.Since(p.started) >= b.after():
		return false, bad
	case kind == liveness && b.Name == notLive && time.Since(p.started) >= b.after():
		return false, bad
	}
	return true, ""
}

func (p *pretended) usage() usage {
	b, _ := p.rules.of(p.pod, p.image)
	cpu, memory := resource.MustParse("5m"), resource.MustParse("20Mi")
	if b.CPU != "" {
		cpu = resource.MustParse(b.CPU)
	}
	if b.Memory != "" {
		memory = resource.MustParse(b.Memory)
	}
	return usage{cpu: cpu.AsApproximateFloat64(), memory: memory.Value(), at: time.Now(), window: time.Second}
}
