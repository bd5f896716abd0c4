// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
)

// What is read of an answer at most. The header's bound is a hundred times what
// any needs.
const (
	maxHeader  = 64 << 10
	maxBody    = 64 << 10
	readBuffer = 2 << 10
	maxInterim = 5 // answers of status 1xx before the one that counts
)

const userAgent = "altoroute-health"

// prepare makes what every probe of a subject needs.
func (s *subject) prepare(u *url.URL, base *tls.Config) {
	port := u.Port()
	if port == "" {
		port = defaultPort(u)
	}
	n, _ := strconv.ParseUint(port, 10, 16) // it has been checked
	s.port = uint16(n)
	host := u.Host
	if s.Host != "" {
		host = s.Host
	}
	s.request = []byte("GET " + u.RequestURI() + " HTTP/1.1\r\nHost: " + host +
		"\r\nUser-Agent: " + userAgent + "\r\nAccept: */*\r\nConnection: close\r\n\r\n")
	if u.Scheme == "https" {
		s.tls = base.Clone()
		s.tls.NextProtos = []string{"http/1.1"}
		s.tls.ServerName = (&url.URL{Host: host}).Hostname()
		if s.tls.CurvePreferences == nil {
			// Without the post-quantum ones: nothing here has to stay secret,
			// and they are a third of what a handshake costs.
			s.tls.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384}
		}
	}
}

// get probes a subject at an address. Every probe has its own connection: what
// is tested is what a client meets, and thousands of idle connections would cost
// both sides. It speaks HTTP/1.1 without net/http's Transport, which would cost
// two goroutines and thrice the memory for what is one write and one read.
//
// The error says what came in place of what was wanted.
func (p *Prober) get(ctx context.Context, s *subject, addr netip.Addr) (Report, error) {
	conn, err := p.dial(ctx, s, addr)
	if err != nil {
		return Report{}, err
	}
	defer conn.Close()
	// Whatever the server does or does not do, its time is bounded.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	stream := conn
	if s.tls != nil {
		secured := tls.Client(conn, s.tls)
		if err := secured.Handshake(); err != nil { //nolint:noctx // the context closes the connection
			return Report{}, s.fault(ctx, "TLS handshake", err)
		}
		stream = secured // never closed by itself: it would wait to say so
	}
	if _, err := stream.Write(s.request); err != nil {
		return Report{}, s.fault(ctx, "answer", err)
	}
	limited := &io.LimitedReader{R: stream, N: maxHeader}
	reader := p.readers.Get().(*bufio.Reader) //nolint:forcetypeassert // nothing else is ever put there
	reader.Reset(limited)
	defer func() {
		reader.Reset(nil)
		p.readers.Put(reader)
	}()
	response, err := readResponse(reader) //nolint:bodyclose // that would read all of it
	if err != nil {
		if limited.N <= 0 {
			err = fmt.Errorf("header longer than %d bytes", maxHeader)
		}
		return Report{}, s.fault(ctx, "answer", err)
	}
	if !s.Status.holds(response.StatusCode) {
		return Report{}, fmt.Errorf("status %d, want %s", response.StatusCode, s.Status)
	}
	limited.N = 16 * maxBody // it may come in small chunks
	return s.readBody(ctx, response)
}

// readResponse reads the header of an answer. Its body must not be closed: that
// would read all of it.
func readResponse(r *bufio.Reader) (*http.Response, error) {
	for range maxInterim {
		response, err := http.ReadResponse(r, nil)
		if err != nil || response.StatusCode >= 200 {
			return response, err
		}
	}
	return nil, errors.New("nothing but interim answers")
}

func (s *subject) readBody(ctx context.Context, response *http.Response) (Report, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return Report{}, s.fault(ctx, "complete answer", err)
	}
	if !bytes.Contains(body, []byte(s.Body)) {
		return Report{}, fmt.Errorf("status %d, but the body does not hold the text wanted", response.StatusCode)
	}
	var header []string
	if s.LoadHeader != "" {
		header = response.Header[s.LoadHeader]
	}
	return parseReport(header, response.Header.Get("Content-Type"), body), nil
}

func (p *Prober) dial(ctx context.Context, s *subject, addr netip.Addr) (net.Conn, error) {
	version := "4"
	if addr.Is6() {
		version = "6"
	}
	address := netip.AddrPortFrom(addr, s.port).String()
	conn, err := p.cfg.Dial(ctx, "tcp"+version, address)
	if err == nil {
		return conn, nil
	}
	if errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL) {
		// A router on the way may have said so. A datagram's socket asks nobody
		// but this machine.
		conn, err := p.cfg.Dial(ctx, "udp"+version, address)
		if err != nil {
			return nil, fmt.Errorf("%w to IPv%s", errNoRoute, version)
		}
		_ = conn.Close()
	}
	return nil, s.fault(ctx, "connection", err)
}

var errNoRoute = errors.New("this machine has no route")

// fault says in a few words what an error means for a check that waited for
// something.
func (s *subject) fault(ctx context.Context, something string, err error) error {
	var timeout net.Error
	if ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("no %s within %s", something, s.Timeout)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) {
		return fmt.Errorf("connection closed, no %s", something)
	}
	if code, ok := errors.AsType[syscall.Errno](err); ok {
		return code
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return errors.New(short(dns.Err))
	}
	if certificate, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errors.New(short(certificate.Err.Error()))
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return errors.New("the server does not speak TLS")
	}
	return errors.New(short(err.Error()))
}

// short keeps an error to what fits a line. It may hold something of an answer.
func short(s string) string {
	s = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s), "?")
	if len(s) > 160 {
		s = strings.ToValidUTF8(s[:160], "") + "…"
	}
	return s
}
