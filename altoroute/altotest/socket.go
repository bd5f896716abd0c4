// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"sync"
	"testing"
)

// A socket is a server's place on the network, which it keeps while it is down.
type socket struct {
	address string
	tls     *tls.Config // nil without TLS

	mu      sync.Mutex       // guards what follows
	running *httptest.Server // nil while it is down
	ended   bool
}

// Start returns a Server on the loopback interface. It ends with the test.
func Start(tb testing.TB) *Server {
	tb.Helper()
	return start(tb, nil)
}

func start(tb testing.TB, config *tls.Config) *Server {
	tb.Helper()
	address, release := holdPort()
	s := New()
	s.socket = &socket{address: address, tls: config}
	s.Resume()
	s.URL = s.socket.running.URL
	tb.Cleanup(func() {
		s.socket.mu.Lock()
		s.socket.ended = true
		s.socket.mu.Unlock()
		s.Stop()
		release()
	})
	return s
}

// Stop takes the server off the network: connections are broken, and new ones
// are refused. It returns when all requests have come to an end. What was
// published and counted stays. A server that is not on the network does not
// care.
func (s *Server) Stop() {
	if s.socket == nil {
		return
	}
	s.socket.mu.Lock()
	defer s.socket.mu.Unlock()
	running := s.socket.running
	if running == nil {
		return
	}
	s.socket.running = nil
	_ = running.Listener.Close() // no more connections
	running.CloseClientConnections()
	s.mu.Lock()
	close(s.closing) // after the connections, or what stalls would be answered
	s.mu.Unlock()
	running.Close()
}

// Resume puts the server back on the network after Stop, where it was before.
func (s *Server) Resume() {
	if s.socket == nil {
		return
	}
	s.socket.mu.Lock()
	defer s.socket.mu.Unlock()
	if s.socket.running != nil || s.socket.ended {
		return
	}
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "tcp", s.socket.address)
	if err != nil {
		panic(err) // Linux has kept the port for us
	}
	s.socket.address = listener.Addr().String()
	running := httptest.NewUnstartedServer(s)
	_ = running.Listener.Close()
	running.Listener = listener
	s.mu.Lock()
	s.closing = make(chan struct{})
	s.mu.Unlock()
	if s.socket.tls == nil {
		running.Start()
	} else {
		running.TLS = s.socket.tls.Clone()
		running.EnableHTTP2 = true
		// Clients that refuse the certificate are what it is for.
		running.Config.ErrorLog = log.New(io.Discard, "", 0)
		running.StartTLS()
	}
	s.socket.running = running
}
