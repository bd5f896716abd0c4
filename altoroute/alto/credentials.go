// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package alto

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// An AuthScheme is a way to tell a server who the client is.
type AuthScheme string

// The schemes that are known.
const (
	// AuthBasic sends user name and password as they are (RFC 7617).
	AuthBasic AuthScheme = "basic"
	// AuthBearer sends a token as it is (RFC 6750 §2.1).
	AuthBearer AuthScheme = "bearer"
	// AuthDigest proves that the password is known without sending it, after
	// the server has asked for it (RFC 7616, RFC 7285 §8.3.5). MD5 and SHA-256
	// are known, with quality of protection "auth". The password is never
	// sent by AuthBasic instead.
	AuthDigest AuthScheme = "digest"
)

// Credentials tell servers who the client is. They may be used by many Clients
// and goroutines, must not be copied, and show no secret when they are printed
// or logged.
// The zero value is for no origin and has no scheme, which Check refuses; a nil
// pointer means no credentials.
type Credentials struct {
	// Scheme is how they are sent. It must be set.
	Scheme AuthScheme
	// Username and Password are for AuthBasic and AuthDigest; either may be
	// empty, but not both.
	Username string `json:"-"`
	Password string `json:"-"`
	// Token is for AuthBearer.
	Token string `json:"-"`
	// For names the origins the credentials are sent to: scheme, host and
	// port of each URL count, its path does not. Empty means none. Neither a
	// redirect nor a directory adds to them. An origin with scheme http gets
	// them in clear. With AuthBasic, a user name and password in one of the URLs
	// are those of its origin, instead of Username and Password.
	For []*url.URL

	mu sync.Mutex
	// sessions are the challenges that were answered last, by origin.
	sessions map[string]*digestSession
}

// Check returns an error if the credentials cannot be used as they are. It
// shows no secret. Nil credentials are right.
func (c *Credentials) Check() error {
	if c == nil {
		return nil
	}
	for _, u := range c.For {
		if err := checkURL(u); err != nil {
			return fmt.Errorf("credentials for an origin: %w", err)
		}
	}
	switch c.Scheme {
	case AuthBasic, AuthDigest:
		return c.checkPassword()
	case AuthBearer:
		switch {
		case c.Username != "" || c.Password != "":
			return errors.New("bearer credentials are a token alone, without a user name and password")
		case strings.TrimRight(c.Token, "=") == "":
			return errors.New("bearer credentials need a token")
		case !consistsOf(strings.TrimRight(c.Token, "="), "-._~+/"):
			return errors.New(`the token has a character other than letters, digits, "-", ".", "_", "~", "+" and "/" (RFC 6750 §2.1)`)
		}
		return nil
	case "":
		return fmt.Errorf("the credentials have no scheme: %s, %s or %s is wanted", AuthBasic, AuthBearer, AuthDigest)
	}
	return fmt.Errorf("%s is not a scheme of credentials: %s, %s or %s is wanted", quote(string(c.Scheme)), AuthBasic, AuthBearer, AuthDigest)
}

func (c *Credentials) checkPassword() error {
	isControl := func(r rune) bool { return r < ' ' || r == 0x7f }
	if c.Token != "" {
		return fmt.Errorf("%s credentials are a user name and a password, without a token", c.Scheme)
	}
	var users []user
	for _, to := range c.For {
		u := c.user(to)
		if u != c.user(c.grant(to)) {
			return fmt.Errorf("there are two user names or passwords for %s: give one", origin(to))
		}
		users = append(users, u)
	}
	if len(c.For) == 0 {
		users = []user{{c.Username, c.Password}}
	}
	for _, u := range users {
		switch {
		case u == user{}:
			return fmt.Errorf("%s credentials need a user name and a password", c.Scheme)
		case strings.Contains(u.name, ":"):
			return errors.New("the user name has a colon, which would end it (RFC 7617 §2)")
		case strings.IndexFunc(u.name, isControl) >= 0 || strings.IndexFunc(u.password, isControl) >= 0:
			return errors.New("the user name or the password has a control character (RFC 7617 §2)")
		}
	}
	return nil
}

type user struct{ name, password string }

// user returns who the client is to a URL of For.
func (c *Credentials) user(to *url.URL) user {
	if c.Scheme == AuthBasic && to.User != nil {
		password, _ := to.User.Password()
		return user{to.User.Username(), password}
	}
	return user{c.Username, c.Password}
}

// String gives the scheme and the origins, no secret.
func (c *Credentials) String() string {
	if c == nil {
		return "no credentials"
	}
	var origins []string
	for _, u := range c.For {
		origins = append(origins, origin(u))
	}
	return fmt.Sprintf("%s credentials for [%s]", c.Scheme, strings.Join(origins, " "))
}

// GoString is String, for the %#v verb.
func (c *Credentials) GoString() string { return c.String() }

// grant returns the first URL of For by which a request to the URL may carry the
// credentials; nil if there is none.
func (c *Credentials) grant(u *url.URL) *url.URL {
	if c == nil {
		return nil
	}
	return ofOrigin(c.For, u)
}

// roundTrip sends a request with the credentials, granted by a URL of For. It may
// change it.
func (c *Credentials) roundTrip(next http.RoundTripper, req *http.Request, to *url.URL) (*http.Response, error) {
	switch c.Scheme {
	case AuthBasic:
		u := c.user(to)
		req.SetBasicAuth(u.name, u.password)
	case AuthBearer:
		req.Header.Set("Authorization", "Bearer "+c.Token)
	case AuthDigest:
		return c.digestRoundTrip(next, req)
	}
	return next.RoundTrip(req)
}
