// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/altoroute/caddy-alto/altoroute/alto"
)

// everywhere returns a client for which every host and port is the server: the
// TLS server if the port ends with 443.
func everywhere(server, secure *httptest.Server) *http.Client {
	transport := alto.NewTransport()
	transport.TLSClientConfig.InsecureSkipVerify = true
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		to := server
		if strings.HasSuffix(addr, "443") {
			to = secure
		}
		return new(net.Dialer).DialContext(ctx, network, to.Listener.Addr().String())
	}
	return &http.Client{Transport: transport}
}

// Credentials go to the origins they are for and no other, wherever a redirect
// leads.
func TestCredentialsOrigins(t *testing.T) {
	var asked []string // where and with what
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Referer") != "" {
			t.Errorf("%s: referred by %s", r.Host, r.Header.Get("Referer"))
		}
		scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if user, password, ok := r.BasicAuth(); ok {
			scheme = user + ":" + password
		}
		asked = append(asked, r.Host+" "+scheme)
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		answer(alto.MediaTypeNetworkMap, 200, rfcNetworkMap)(w, r)
	})
	server, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer server.Close()
	defer secure.Close()
	basic := func(origins ...string) *alto.Credentials {
		c := &alto.Credentials{Scheme: alto.AuthBasic, Username: "me", Password: "secret"}
		for _, o := range origins {
			c.For = append(c.For, mustURL(o))
		}
		return c
	}
	// Each origin has a user of its own.
	users := &alto.Credentials{Scheme: alto.AuthBasic, For: []*url.URL{mustURL("http://you:known@a.example/x"), mustURL("https://it:too@b.example")}}
	bearer := &alto.Credentials{Scheme: alto.AuthBearer, Token: "secret", For: []*url.URL{mustURL("https://a.example:8443/path")}}
	for _, c := range []struct {
		credentials *alto.Credentials
		from, to    string
		want        []string
	}{
		{nil, "http://a.example/", "", []string{"a.example "}},
		{basic(), "http://a.example/", "", []string{"a.example "}},
		{basic("http://a.example"), "http://a.example/", "", []string{"a.example me:secret"}},
		{basic("HTTP://A.example:80/x"), "http://a.example/", "/y", []string{"a.example me:secret", "a.example me:secret"}},
		{basic("https://a.example"), "http://a.example/", "", []string{"a.example "}},
		{basic("http://a.example"), "http://a.example/", "http://a.example:8080/", []string{"a.example me:secret", "a.example:8080 "}},
		{basic("http://a.example"), "http://a.example/", "http://sub.a.example/", []string{"a.example me:secret", "sub.a.example "}},
		{basic("http://a.example"), "http://a.example/", "https://a.example/", []string{"a.example me:secret", "a.example "}},
		{basic("http://b.example"), "http://a.example/", "http://b.example/", []string{"a.example ", "b.example me:secret"}},
		{basic("http://a.example", "http://b.example"), "http://a.example/", "http://b.example/", []string{"a.example me:secret", "b.example me:secret"}},
		// There and back again.
		{basic("http://a.example"), "http://a.example/", "http://b.example/?to=http://a.example/", []string{"a.example me:secret", "b.example ", "a.example me:secret"}},
		{bearer, "https://a.example:8443/", "https://a.example:9443/", []string{"a.example:8443 Bearer", "a.example:9443 "}},
		{users, "http://a.example/", "http://a.example/y", []string{"a.example you:known", "a.example you:known"}},
		{users, "http://a.example/", "https://b.example/?to=https://c.example/", []string{"a.example you:known", "b.example it:too", "c.example "}},
		{users, "http://b.example/", "http://a.example:81/", []string{"b.example ", "a.example:81 "}},
		// In the URL: for that origin alone, and what a redirect brings counts for nothing.
		{nil, "http://you:known@a.example/", "/x", []string{"a.example you:known", "a.example you:known"}},
		{nil, "http://you:known@a.example/", "http://a.example/", []string{"a.example you:known", "a.example you:known"}},
		{nil, "http://you:known@a.example/", "http://a.example:81/", []string{"a.example you:known", "a.example:81 "}},
		{nil, "http://you:known@a.example/", "http://sub.a.example/", []string{"a.example you:known", "sub.a.example "}},
		{nil, "http://you:known@a.example/", "https://a.example/", []string{"a.example you:known", "a.example "}},
		{nil, "http://you:known@a.example/", "//b.example/", []string{"a.example you:known", "b.example "}},
		{nil, "http://a.example/", "http://x:y@a.example/", []string{"a.example ", "a.example "}},
		{nil, "http://a.example/", "http://x:y@b.example/", []string{"a.example ", "b.example "}},
		{basic("http://b.example"), "http://you:known@a.example/", "http://b.example/", []string{"a.example you:known", "b.example me:secret"}},
		{basic("http://a.example"), "http://you:known@a.example/", "", []string{"a.example me:secret"}},
	} {
		asked = nil
		client := &alto.Client{HTTP: everywhere(server, secure), Credentials: c.credentials}
		if _, _, err := fetch(t.Context(), client, mustURL(c.from+"?to="+url.QueryEscape(c.to)), alto.Validators{}); err != nil {
			t.Errorf("%s, %s: %v", c.from, c.to, err)
		}
		if !slices.Equal(asked, c.want) {
			t.Errorf("%v: %s, %s: asked %q, want %q", c.credentials, c.from, c.to, asked, c.want)
		}
	}
}

func TestCredentialsCheck(t *testing.T) {
	origins := []*url.URL{mustURL("https://me:secret@alto.example.com/x")}
	for _, c := range []struct {
		credentials *alto.Credentials
		err         string
	}{
		{nil, ""},
		{&alto.Credentials{Scheme: "basic", Username: "me"}, ""},
		{&alto.Credentials{Scheme: "digest", Username: "me", Password: "se:cret ü", For: origins}, ""},
		{&alto.Credentials{Scheme: "bearer", Token: "secret-._~+/=="}, ""},
		{&alto.Credentials{}, "the credentials have no scheme: basic, bearer or digest is wanted"},
		{&alto.Credentials{Scheme: "Basic", Username: "secret"}, `"Basic" is not a scheme of credentials`},
		{&alto.Credentials{Scheme: "basic"}, "basic credentials need a user name and a password"},
		{&alto.Credentials{Scheme: "basic", Username: "me", Token: "secret"}, "without a token"},
		{&alto.Credentials{Scheme: "digest", Username: "secret:x"}, "the user name has a colon"},
		{&alto.Credentials{Scheme: "digest", Username: "me", Password: "secret\r\nX: y"}, "has a control character"},
		{&alto.Credentials{Scheme: "bearer"}, "bearer credentials need a token"},
		{&alto.Credentials{Scheme: "bearer", Token: "=="}, "bearer credentials need a token"},
		{&alto.Credentials{Scheme: "bearer", Token: "secret x"}, "the token has a character other than"},
		{&alto.Credentials{Scheme: "bearer", Token: "secretŁ"}, "the token has a character other than"},
		{&alto.Credentials{Scheme: "bearer", Token: "secret", Password: "secret"}, "a token alone"},
		{&alto.Credentials{Scheme: "basic", For: origins}, ""},
		{&alto.Credentials{Scheme: "basic", For: append(origins, mustURL("https://other.example.com/"))}, "basic credentials need a user name and a password"},
		{&alto.Credentials{Scheme: "basic", For: append(origins, mustURL("https://you:secret@alto.example.com:443/y"))}, "there are two user names or passwords for https://alto.example.com:443"},
		{&alto.Credentials{Scheme: "basic", For: []*url.URL{mustURL("https://secret%3Ax@alto.example.com/")}}, "the user name has a colon"},
		{&alto.Credentials{Scheme: "digest", For: origins}, "digest credentials need a user name and a password"},
		{&alto.Credentials{Scheme: "basic", Username: "me", For: []*url.URL{mustURL("//u:secret@h/")}}, `credentials for an origin: "//h/" is not an absolute URI`},
	} {
		err := c.credentials.Check()
		checkError(t, fmt.Sprint(c.credentials), err, c.err)
		_, _, requested := fetch(t.Context(), &alto.Client{Credentials: c.credentials}, mustURL("http://127.0.0.1:1/"), alto.Validators{})
		if err != nil {
			checkError(t, fmt.Sprint(c.credentials), requested, "GET http://127.0.0.1:1/: "+err.Error())
		}
		logged := new(strings.Builder)
		slog.New(slog.NewJSONHandler(logged, nil)).Info("x", slog.Any("credentials", c.credentials))
		for _, text := range []string{logged.String(), fmt.Sprint(err), fmt.Sprint(c.credentials), fmt.Sprintf("%+v %#v %s", c.credentials, c.credentials, c.credentials), requested.Error()} {
			if strings.Contains(text, "secret") {
				t.Errorf("a secret shows: %s", text)
			}
		}
	}
}

// What a server asks for is told where it refuses, what there is for it, and where it is.
func TestUnauthorized(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			http.Redirect(w, r, "/here", http.StatusFound)
			return
		}
		w.Header().Add("WWW-Authenticate", `Negotiate, Digest realm="a, b", nonce="1", algorithm=SHA-512`)
		w.Header().Add("WWW-Authenticate", `Digest realm="x", nonce="1", algorithm=SHA-512, Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(server.Close)
	here := []*url.URL{mustURL(server.URL)}
	for name, test := range map[string]struct {
		credentials *alto.Credentials
		url, want   string
	}{
		"none":        {nil, "/", `the answer has status 401 Unauthorized, the server asks for credentials by "Negotiate, Digest, Basic", and there are none for it`},
		"elsewhere's": {&alto.Credentials{Scheme: alto.AuthBearer, Token: "secret"}, "/", "and there are none for it"},
		"refused":     {&alto.Credentials{Scheme: alto.AuthBasic, Username: "me", Password: "secret", For: here}, "/", "401 Unauthorized, the server refuses the credentials that were sent by basic"},
		"in the URL":  {nil, "user", "401 Unauthorized, the server refuses the credentials that were sent by basic"},
		"another":     {&alto.Credentials{Scheme: alto.AuthBearer, Token: "secret", For: here}, "/", `the server asks for credentials by "Negotiate, Digest, Basic", and those for it are by bearer`},
		"unanswered":  {&alto.Credentials{Scheme: alto.AuthDigest, Username: "me", Password: "secret", For: here}, "/", "asks for a digest that cannot be answered: those by MD5 or SHA-256, with or without -sess, and qop auth can"},
		"redirected":  {nil, "/elsewhere", "/elsewhere: redirected to " + server.URL + "/here: the answer has status 401"},
	} {
		u := mustURL(server.URL + strings.TrimPrefix(test.url, "user"))
		if test.url == "user" {
			u.User = url.UserPassword("me", "secret")
		}
		_, err := (&alto.Client{Credentials: test.credentials}).Get(t.Context(), u, alto.MediaTypeNetworkMap, alto.Validators{})
		checkError(t, name, err, test.want)
		var status *alto.StatusError
		if !errors.As(err, &status) || !slices.Equal(status.Schemes, []string{"Negotiate", "Digest", "Basic"}) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v %+v", name, err, status)
		}
	}
}
