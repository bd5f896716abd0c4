// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TLSOptions say how a server with TLS differs from a good one.
type TLSOptions struct {
	// Authority makes the server's certificate and that of its clients. Nil
	// means a new one, which no client knows.
	Authority *Authority
	// Expired has the certificate's time be over.
	Expired bool
	// WrongName has the certificate be that of another host.
	WrongName bool
	// ClientCertificate asks clients for a certificate of the Authority.
	ClientCertificate bool
	// MaxVersion is the newest version of TLS that is spoken, as in
	// [tls.Config]; zero means Go's newest.
	MaxVersion uint16
}

// StartTLS returns a Server that speaks TLS and HTTP/2 on the loopback
// interface. It ends with the test.
func StartTLS(tb testing.TB, o TLSOptions) *Server {
	tb.Helper()
	authority := o.Authority
	if authority == nil {
		authority = NewAuthority(tb)
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "ALTO server"},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if o.WrongName {
		template.DNSNames, template.IPAddresses = []string{"other.example"}, nil
	}
	if o.Expired {
		template.NotAfter = time.Now().Add(-time.Hour)
	}
	certificate, key := authority.issue(tb, template)
	config := &tls.Config{ //nolint:gosec // old versions are for clients to refuse
		Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS10,
		MaxVersion:   o.MaxVersion,
	}
	if o.ClientCertificate {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, authority.Pool
	}
	s := start(tb, config)
	s.Authority = authority
	return s
}

// An Authority makes certificates.
type Authority struct {
	// File is the path of its own certificate in PEM, Pool has it alone.
	File string
	Pool *x509.CertPool

	certificate *x509.Certificate
	key         crypto.Signer
}

// NewAuthority returns an authority. Its files go with the test.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	a := &Authority{Pool: x509.NewCertPool()}
	der, key := a.issue(tb, &x509.Certificate{
		Subject:               pkix.Name{CommonName: "ALTO test authority"},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
	})
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	a.certificate, a.key = certificate, key
	a.Pool.AddCert(certificate)
	a.File = writePEM(tb, tb.TempDir(), "ca.pem", "CERTIFICATE", der)
	return a
}

// Client makes a certificate for a client, and returns the paths of it and of
// its key, in PEM. They go with the test.
func (a *Authority) Client(tb testing.TB, name string) (certificateFile, keyFile string) {
	tb.Helper()
	certificate, key := a.issue(tb, &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	return writePEM(tb, dir, "client.pem", "CERTIFICATE", certificate), writePEM(tb, dir, "client.key", "PRIVATE KEY", encoded)
}

// issue makes a key and its certificate, the authority's own if it has none yet.
func (a *Authority) issue(tb testing.TB, template *x509.Certificate) ([]byte, crypto.Signer) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	now := time.Now()
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		tb.Fatal(err)
	}
	template.NotBefore = now.Add(-24 * time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = now.Add(24 * time.Hour)
	}
	if template.KeyUsage == 0 {
		template.KeyUsage = x509.KeyUsageDigitalSignature
	}
	parent, signer := a.certificate, a.key
	if parent == nil {
		parent, signer = template, key
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		tb.Fatal(err)
	}
	return certificate, key
}

func writePEM(tb testing.TB, dir, name, kind string, content []byte) string {
	tb.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}
