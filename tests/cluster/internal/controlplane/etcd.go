package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// Etcd is the database of the cluster, in this process, reached only through unix sockets.
// Between it and the API server stands a relay that can hold back every answer.
type Etcd struct {
	server *embed.Etcd
	relay  *relay
}

// StartEtcd opens (or creates) the database in dataDir and listens in socketDir.
// It does not wait for the disk: a crash of the machine may cost data, a crash of this process does not.
func StartEtcd(ctx context.Context, dataDir, socketDir string, delay time.Duration) (*Etcd, error) {
	config := embed.NewConfig()
	config.Dir = filepath.Join(dataDir, "etcd")
	config.UnsafeNoFsync = true
	config.LogLevel = "error"
	config.LogOutputs = []string{filepath.Join(dataDir, "logs", "etcd.log")}
	// One member needs no patience with elections; with the defaults each start waits for a second.
	config.TickMs, config.ElectionMs = 20, 200
	config.QuotaBackendBytes = 2 << 30
	client := url.URL{Scheme: "unix", Path: filepath.Join(socketDir, "etcd.sock")}
	peer := url.URL{Scheme: "unix", Path: filepath.Join(socketDir, "peer.sock")}
	config.ListenClientUrls, config.ListenPeerUrls = []url.URL{client}, []url.URL{peer}
	// Nobody asks for these, but they must look like hosts.
	config.AdvertiseClientUrls = []url.URL{{Scheme: "http", Host: "localhost:2379"}}
	config.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: "localhost:2380"}}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	server, err := embed.StartEtcd(config)
	if err != nil {
		return nil, fmt.Errorf("etcd: %w", err)
	}
	select {
	case <-server.Server.ReadyNotify():
	case err := <-server.Err():
		return nil, fmt.Errorf("etcd: %w", err)
	case <-ctx.Done():
		server.Close()
		return nil, ctx.Err()
	}
	relay, err := startRelay(filepath.Join(socketDir, "store.sock"), client.Path, delay)
	if err != nil {
		server.Close()
		return nil, err
	}
	return &Etcd{server: server, relay: relay}, nil
}

// Address is what --etcd-servers takes.
func (e *Etcd) Address() string { return "unix://" + e.relay.path }

// SetDelay holds back each answer of etcd by d from now on.
func (e *Etcd) SetDelay(d time.Duration) { e.relay.delay.Store(int64(d)) }

// Close ends the relay and the database.
func (e *Etcd) Close() {
	e.relay.close()
	e.server.Close()
}

// relay passes connections of one unix socket on to another one. What the far side says arrives late by `delay`;
// order and throughput stay, so that parallel requests each see the delay once.
type relay struct {
	path     string
	target   string
	delay    atomic.Int64
	listener net.Listener
	mutex    sync.Mutex
	open     map[net.Conn]struct{}
}

func startRelay(path, target string, delay time.Duration) (*relay, error) {
	_ = os.Remove(path)
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	r := &relay{path: path, target: target, listener: listener, open: map[net.Conn]struct{}{}}
	r.delay.Store(int64(delay))
	go func() {
		for {
			near, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				go r.serve(near)
			}
		}
	}()
	return r, nil
}

func (r *relay) serve(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("unix", r.target)
	if err != nil {
		return
	}
	defer far.Close()
	r.mutex.Lock()
	r.open[near] = struct{}{}
	r.mutex.Unlock()
	defer func() {
		r.mutex.Lock()
		delete(r.open, near)
		r.mutex.Unlock()
	}()
	go func() {
		defer far.Close()
		defer near.Close()
		pipe(far, near)
	}()
	r.late(near, far)
}

type chunk struct {
	due  time.Time
	data []byte
}

func (r *relay) late(near, far net.Conn) {
	queue := make(chan chunk, 4096)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for c := range queue {
			if wait := time.Until(c.due); wait > 0 {
				time.Sleep(wait)
			}
			if _, err := near.Write(c.data); err != nil {
				near.Close()
				far.Close()
				for range queue {
				}
				return
			}
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := far.Read(buffer)
		if n > 0 {
			queue <- chunk{due: time.Now().Add(time.Duration(r.delay.Load())), data: append([]byte(nil), buffer[:n]...)}
		}
		if err != nil {
			break
		}
	}
	close(queue)
	<-done
}

func (r *relay) close() {
	r.listener.Close()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for conn := range r.open {
		conn.Close()
	}
}
