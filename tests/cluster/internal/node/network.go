package node

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// network gives pods their addresses. In the cluster a pod is 10.244.x.y, an address that exists nowhere. A process
// listens at 127.z.x.y instead, where z belongs to this program as long as it runs.
type network struct {
	mutex  sync.Mutex
	next   int
	pods   map[string]*worker
	second int
	claim  net.Listener
}

func newNetwork() (*network, error) {
	for range 500 {
		second := 10 + rand.IntN(240)
		claim, err := net.Listen("tcp", fmt.Sprintf("127.%d.255.254:61999", second))
		if err == nil {
			return &network{pods: map[string]*worker{}, second: second, claim: claim, next: 1}, nil
		}
	}
	return nil, fmt.Errorf("found no free loopback network")
}

func (n *network) close() { n.claim.Close() }

// give finds an address for a pod.
func (n *network) give(w *worker) (ip, loopback string) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	for {
		n.next = n.next%60_000 + 1
		ip := fmt.Sprintf("10.244.%d.%d", n.next/250, n.next%250+1)
		if n.pods[ip] == nil {
			n.pods[ip] = w
			return ip, n.loopback(ip)
		}
	}
}

// take gives a pod the address that it had before.
func (n *network) take(ip string, w *worker) (string, string) {
	n.mutex.Lock()
	if n.pods[ip] == nil {
		n.pods[ip] = w
		n.mutex.Unlock()
		return ip, n.loopback(ip)
	}
	n.mutex.Unlock()
	return n.give(w)
}

func (n *network) free(ip string) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	delete(n.pods, ip)
}

func (n *network) worker(ip string) *worker {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.pods[ip]
}

func (n *network) loopback(ip string) string {
	parsed := net.ParseIP(ip).To4()
	return fmt.Sprintf("127.%d.%d.%d", n.second, parsed[2], parsed[3])
}
