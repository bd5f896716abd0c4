// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// piped returns how to reach a server without a network.
func piped(serve func(conn net.Conn)) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			serve(server)
		}()
		return client, nil
	}
}

// says is a server that reads a request and then does what it is told.
func says(steps ...func(conn net.Conn)) func(conn net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return
		}
		for _, step := range steps {
			step(conn)
		}
	}
}

func text(s string) func(net.Conn) { return func(c net.Conn) { _, _ = io.WriteString(c, s) } }

// stall holds until the client gives up.
func stall(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// endless repeats a text until the client gives up.
func endless(s string, every time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, s); err != nil {
				return
			}
			time.Sleep(every)
		}
	}
}

const ok = "HTTP/1.1 200 OK\r\n"

// TestAnswers says what is wrong with answers, none of which takes longer than
// it may.
func TestAnswers(t *testing.T) {
	tests := map[string]struct {
		server func(net.Conn)
		target Target
		want   string
	}{
		"good":                  {says(text(ok + "Content-Length: 2\r\n\r\nOK")), Target{}, ""},
		"no content":            {says(text("HTTP/1.1 204 No Content\r\n\r\n")), Target{}, ""},
		"until the end":         {says(text("HTTP/1.0 200 OK\r\n\r\nOK")), Target{Body: "OK"}, ""},
		"chunked":               {says(text(ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nal\r\n4\r\nive!\r\n0\r\n\r\n")), Target{Body: "alive"}, ""},
		"interim":               {says(text("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n" + ok + "Content-Length: 0\r\n\r\n")), Target{}, ""},
		"nothing but interim":   {says(endless("HTTP/1.1 103 Early Hints\r\n\r\n", 0)), Target{}, "nothing but interim answers"},
		"error":                 {says(text("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")), Target{}, "status 500, want 200-299"},
		"error with a stall":    {says(text("HTTP/1.1 503 Oh\r\nContent-Length: 5\r\n\r\n"), stall), Target{Status: StatusRange{200, 200}}, "status 503, want 200"},
		"wanted error":          {says(text("HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n")), Target{Status: StatusRange{404, 404}}, ""},
		"redirect":              {says(text("HTTP/1.1 302 Found\r\nLocation: http://b.example/\r\nContent-Length: 0\r\n\r\n")), Target{}, "status 302, want 200-299"},
		"wanted redirect":       {says(text("HTTP/1.1 302 Found\r\nLocation: http://b.example/\r\nContent-Length: 0\r\n\r\n")), Target{Status: StatusRange{200, 399}}, ""},
		"other body":            {says(text(ok + "Content-Length: 4\r\n\r\ndead")), Target{Body: "alive"}, "status 200, but the body does not hold the text wanted"},
		"silent":                {stall, Target{}, "no answer within 2s"},
		"deaf":                  {func(net.Conn) { time.Sleep(3 * time.Second) }, Target{}, "no answer within 2s"},
		"silent after request":  {says(stall), Target{Timeout: 3 * time.Second}, "no answer within 3s"},
		"slow header":           {says(text(ok), endless("A: b\r\n", 500*time.Millisecond)), Target{}, "no answer within 2s"},
		"endless header":        {says(text(ok), endless("A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n", 0)), Target{}, "header longer than 65536 bytes"},
		"endless line":          {says(text(ok), endless("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 0)), Target{}, "header longer than 65536 bytes"},
		"endless body":          {says(text(ok+"\r\nalive"), endless("nothing to see here", 0)), Target{Body: "alive"}, ""},
		"endless chunks":        {says(text(ok+"Transfer-Encoding: chunked\r\n\r\n"), endless("1\r\na\r\n", 0)), Target{}, ""},
		"too late in the body":  {says(text(ok + "\r\n" + strings.Repeat("a", maxBody) + "alive")), Target{Body: "alive"}, "status 200, but the body does not hold the text wanted"},
		"stalled body":          {says(text(ok+"Content-Length: 5\r\n\r\nali"), stall), Target{}, "no complete answer within 2s"},
		"slow body":             {says(text(ok+"\r\n"), endless("a", 100*time.Millisecond)), Target{}, "no complete answer within 2s"},
		"cut off body":          {says(text(ok + "Content-Length: 5\r\n\r\nali")), Target{}, "connection closed, no complete answer"},
		"cut off chunk":         {says(text(ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nali")), Target{}, "connection closed, no complete answer"},
		"cut off header":        {says(text(ok + "Content-Length: 2\r\n")), Target{}, "connection closed, no answer"},
		"closed at once":        {func(net.Conn) {}, Target{}, "connection closed, no answer"},
		"closed after request":  {says(), Target{}, "connection closed, no answer"},
		"another protocol":      {says(text("SSH-2.0-OpenSSH_9.9\r\n\r\n")), Target{}, `malformed HTTP response "SSH-2.0-OpenSSH_9.9"`},
		"no status":             {says(text("HTTP/1.1 xxx Oh\r\n\r\n")), Target{}, `malformed HTTP status code "xxx"`},
		"long nonsense":         {says(text("\x00\x1b[31m" + strings.Repeat("ü", 1000) + "\r\n\r\n")), Target{}, `malformed HTTP response "\x00\x1b[31m` + strings.Repeat("ü", 61) + "…"},
		"https, silent":         {stall, Target{URL: "https://[2001:db8::1]/"}, "no TLS handshake within 2s"},
		"https, but it is http": {func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)); text("HTTP/1.1 400 Bad Request\r\n\r\n")(c) }, Target{URL: "https://[2001:db8::1]/"}, "the server does not speak TLS"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := New(Config{Dial: piped(tt.server)})
				defer p.Stop()
				if tt.target.URL == "" {
					tt.target.URL = "http://[2001:db8::1]/"
				}
				w, err := p.Watch([]Target{tt.target}, nil)
				if err != nil {
					t.Fatal(err)
				}
				w.Start()
				time.Sleep(4 * time.Second)
				synctest.Wait()
				s, _ := p.Status(tt.target)
				longest := max(tt.target.Timeout, DefaultTimeout)
				if s.IPv6.Err != tt.want || (s.IPv6.State == Up) != (tt.want == "") || s.IPv6.Last.IsZero() || s.IPv6.Duration > longest {
					t.Errorf("got %q after %s, want %q", s.IPv6.Err, s.IPv6.Duration, tt.want)
				}
			})
		})
	}
}

func TestNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		defer p.Stop()
		w, err := p.Watch([]Target{literal(1)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.Start()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if s, _ := p.Status(literal(1)); s.IPv6.Err != "no connection within 2s" || s.IPv6.Duration != 2*time.Second {
			t.Errorf("got %+v", s.IPv6)
		}
	})
}

// once probes a target over the loopback interface, once.
func once(t *testing.T, cfg Config, target Target) (Report, error) {
	t.Helper()
	canonical, err := target.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	p := New(cfg)
	ctx, cancel := context.WithTimeout(t.Context(), canonical.Timeout)
	defer cancel()
	return p.get(ctx, p.newSubject(canonical), netip.MustParseAddr("127.0.0.1"))
}

func TestRequest(t *testing.T) {
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set("X-Load", "load=0.5, capacity=100")
	}))
	defer server.Close()
	report, err := once(t, Config{}, Target{URL: server.URL + "/health%2Fy?full=1", LoadHeader: "x-load"})
	if err != nil || report != (Report{Load: 0.5, HasLoad: true, Capacity: 100, HasCapacity: true}) {
		t.Fatalf("got %+v, %v", report, err)
	}
	if got.Method != http.MethodGet || got.RequestURI != "/health%2Fy?full=1" || got.Host != strings.TrimPrefix(server.URL, "http://") || !got.Close || got.UserAgent() != userAgent {
		t.Errorf("asked for %s %s of %s, close %v, as %q", got.Method, got.RequestURI, got.Host, got.Close, got.UserAgent())
	}
	if _, err := once(t, Config{}, Target{URL: server.URL, Host: "Video.example"}); err != nil || got.Host != "video.example" || got.RequestURI != "/" {
		t.Errorf("asked for %s of %s, %v", got.RequestURI, got.Host, err)
	}
}

func TestRefusedConnection(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	if _, err := once(t, Config{}, Target{URL: "http://" + address}); err == nil || err.Error() != "connection refused" {
		t.Errorf("got %v", err)
	}
}

func TestTLS(t *testing.T) {
	var name string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { name = r.TLS.ServerName }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it is told of what it must not serve
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate()) // for example.com, 127.0.0.1 and ::1
	known := Config{TLS: &tls.Config{RootCAs: roots}}
	for _, tt := range []struct {
		cfg       Config
		url, host string
		want, sni string
	}{
		{known, "https://example.com:" + u.Port(), "", "", "example.com"},
		{known, server.URL, "", "", ""}, // an address is no name
		{known, server.URL, "example.com", "", "example.com"},
		{known, server.URL, "example.com:8443", "", "example.com"},
		{known, "https://edge.example:" + u.Port(), "", "x509: certificate is valid for example.com, *.example.com, not edge.example", ""},
		{known, server.URL, "edge.example", "x509: certificate is valid for example.com, *.example.com, not edge.example", ""},
		{Config{}, "https://example.com:" + u.Port(), "", "x509: certificate signed by unknown authority", ""},
		{known, "http://example.com:" + u.Port(), "", "status 400, want 200-299", ""},
	} {
		name = ""
		_, err := once(t, tt.cfg, Target{URL: tt.url, Host: tt.host})
		if got := fmt.Sprint(err); got != tt.want && (tt.want != "" || err != nil) || name != tt.sni {
			t.Errorf("%s %s: got %q by the name %q, want %q by %q", tt.url, tt.host, got, name, tt.want, tt.sni)
		}
	}
}

// TestRealNames probes by a name of this machine, both ways where it has both.
func TestRealNames(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "alive") }))
	defer server.Close()
	changed := make(chan struct{}, 100)
	p := New(Config{})
	defer p.Stop()
	target := Target{URL: strings.Replace(server.URL, "127.0.0.1", "localhost", 1), Body: "alive"}
	w, err := p.Watch([]Target{target}, func() { changed <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	w.Start()
	for {
		select {
		case <-changed:
		case <-t.Context().Done():
			t.Fatal("it is not up")
		}
		if s, _ := p.Status(target); s.IPv4.State == Up {
			return
		}
	}
}
