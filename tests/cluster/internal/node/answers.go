package node

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
)

// pretendedServer answers for all pretended pods, in the manner of the agent runtime, and says that it pretends.
type pretendedServer struct{ served *served }

func newPretendedServer() *pretendedServer {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, status int, body any) {
		w.Header().Set("content-type", "application/json")
		w.Header().Set("x-pretended", "true")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	of := func(r *http.Request) *worker { return r.Context().Value(workerKey{}).(*worker) }
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, map[string]any{"pod": of(r).name(), "pretended": true})
	})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, map[string]any{"status": "ok", "engine": "pretended", "model": "unconfigured"})
	})
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) {
		if !of(r).isReady() {
			answer(w, 503, map[string]any{"ready": false, "reason": "pretends not to be ready"})
			return
		}
		answer(w, 200, map[string]any{"ready": true})
	})
	mux.HandleFunc("POST /message", func(w http.ResponseWriter, r *http.Request) {
		of(r).requests.Add(1)
		answer(w, 200, map[string]any{"reply": "pretended", "conversationId": "pretended", "model": "pretended"})
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		worker := of(r)
		used := worker.usage()
		w.Header().Set("content-type", "text/plain; version=0.0.4")
		var total usage
		for _, u := range used {
			total.cpu += u.cpu
			total.memory += u.memory
		}
		n := worker.requests.Load()
		fmt.Fprintf(w, "agent_requests_total %d\nagent_requests_success_total %d\nagent_requests_errors_total 0\nagent_messages_total %d\nagent_requests_in_flight 0\nprocess_resident_memory_bytes %d\n", n, n, n, total.memory)
	})
	return &pretendedServer{served: serve(mux, nil)}
}

func (p *pretendedServer) connect(w *worker) (net.Conn, error) {
	return p.served.connect(func(conn net.Conn) net.Conn { return podConn{conn, w} })
}

func (p *pretendedServer) close() { p.served.close() }

func (w *worker) name() string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return w.pod.Name
}

func (w *worker) isReady() bool {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for _, c := range w.containers {
		if !c.ready {
			return false
		}
	}
	return true
}

// usage is what each running container uses, by name.
func (w *worker) usage() map[string]usage {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	result := map[string]usage{}
	for _, c := range w.containers {
		if c.run != nil {
			result[c.spec.Name] = c.run.usage()
		}
	}
	return result
}
