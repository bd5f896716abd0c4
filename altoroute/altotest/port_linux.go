// Copyright 2026 The altoroute authors
// SPDX-License-Identifier: Apache-2.0

package altotest

import (
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

// holdPort returns an address of the loopback interface that nobody else is
// given until it is released. The port is bound without listening, so that who
// connects is refused; Linux lets a second socket listen on it, since both have
// SO_REUSEADDR, which Go sets too. Where that fails, the address has port 0.
func holdPort() (address string, release func()) {
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	anyPort := netip.AddrPortFrom(loopback, 0).String()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return anyPort, func() {}
	}
	release = func() { _ = syscall.Close(fd) }
	err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err == nil {
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: loopback.As4()})
	}
	bound, _ := syscall.Getsockname(fd)
	name, ok := bound.(*syscall.SockaddrInet4)
	if err != nil || !ok {
		release()
		return anyPort, func() {}
	}
	return net.JoinHostPort(loopback.String(), strconv.Itoa(name.Port)), release
}
