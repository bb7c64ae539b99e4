package node

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const sampleEvery = time.Second

// process is a container that is a child process.
type process struct {
	command     *exec.Cmd
	memoryLimit int64
	done        chan struct{}
	end         exit

	mutex     sync.Mutex
	current   usage
	ticks     int64
	oomKilled bool
}

type processSpec struct {
	argv        []string
	env         []string
	dir         string
	memoryLimit int64 // bytes, 0 is none
}

func startProcess(spec processSpec, log *logWriter) (*process, error) {
	command := exec.Command(spec.argv[0], spec.argv[1:]...)
	command.Env = spec.env
	command.Dir = spec.dir
	// A group of its own, so that the whole container can be killed; and it ends with this program, however that ends.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	var readers [2]io.ReadCloser
	var writers [2]*os.File
	for i := range readers {
		reader, writer, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		readers[i], writers[i] = reader, writer
	}
	command.Stdout, command.Stderr = writers[0], writers[1]
	err := command.Start()
	for _, writer := range writers {
		writer.Close()
	}
	if err != nil {
		for _, reader := range readers {
			reader.Close()
		}
		return nil, err
	}
	p := &process{command: command, memoryLimit: spec.memoryLimit, done: make(chan struct{})}
	p.sample()
	var output sync.WaitGroup
	for i, stream := range []string{"stdout", "stderr"} {
		output.Go(func() {
			log.copy(stream, readers[i])
			readers[i].Close()
		})
	}
	go p.wait(&output, readers[:], log)
	go p.watch()
	return p, nil
}

func (p *process) wait(output *sync.WaitGroup, readers []io.ReadCloser, log *logWriter) {
	err := p.command.Wait()
	at := time.Now()
	// What the process left behind in its group ends with it, as in a container.
	_ = syscall.Kill(-p.command.Process.Pid, syscall.SIGKILL)
	read := make(chan struct{})
	go func() { output.Wait(); close(read) }()
	select {
	case <-read:
	case <-time.After(time.Second): // a process outside the group holds the pipes
		for _, reader := range readers {
			reader.Close()
		}
		<-read
	}
	log.close()
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.end = exit{code: exitCode(err), at: at}
	if p.oomKilled {
		p.end.reason = "OOMKilled"
	}
	close(p.done)
}

func exitCode(err error) int32 {
	var failed *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &failed):
		if status, ok := failed.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int32(status.Signal())
		}
		return int32(failed.ExitCode())
	default:
		return 255
	}
}

// watch measures the process and ends it when it takes more memory than its limit, as the kernel would.
func (p *process) watch() {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-ticker.C:
			p.sample()
			p.mutex.Lock()
			if p.memoryLimit > 0 && p.current.memory > p.memoryLimit {
				p.oomKilled = true
			}
			over := p.oomKilled
			p.mutex.Unlock()
			if over {
				p.kill()
			}
		}
	}
}

func (p *process) sample() {
	ticks, memory, err := readProc(p.command.Process.Pid)
	if err != nil {
		return
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	now := time.Now()
	next := usage{memory: memory, at: now, window: sampleEvery}
	if !p.current.at.IsZero() {
		next.window = now.Sub(p.current.at)
		next.cpu = float64(ticks-p.ticks) / clockTicks / next.window.Seconds()
	}
	p.current, p.ticks = next, ticks
}

// clockTicks per second, as /proc counts them on every Linux.
const clockTicks = 100

// readProc returns the CPU time in ticks and the resident memory in bytes of a process.
func readProc(pid int) (ticks, memory int64, err error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	// The name in parentheses may hold anything; the fields after it are numbers.
	_, rest, ok := strings.Cut(string(content[strings.LastIndexByte(string(content), ')'):]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 22 {
		return 0, 0, fmt.Errorf("/proc/%d/stat is cut off", pid)
	}
	var numbers [3]int64
	for i, field := range []int{11, 12, 21} { // utime, stime, rss
		if numbers[i], err = strconv.ParseInt(fields[field], 10, 64); err != nil {
			return 0, 0, err
		}
	}
	return numbers[0] + numbers[1], numbers[2] * int64(os.Getpagesize()), nil
}

func (p *process) exited() <-chan struct{} { return p.done }
func (p *process) ending() exit            { return p.end }
func (p *process) terminate()              { _ = p.command.Process.Signal(syscall.SIGTERM) }
func (p *process) kill()                   { _ = syscall.Kill(-p.command.Process.Pid, syscall.SIGKILL) }

func (p *process) usage() usage {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return p.current
}

func (p *process) answers(probeKind) (bool, string) { return true, "" }
