// forward passes TCP connections on: forward FD ADDRESS accepts on the
// listening socket it inherits as file descriptor FD and connects each client
// to ADDRESS. A socket stays in the network namespace where it was opened, so
// a listener opened outside and a forward started inside join the two.
package main

import (
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"time"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: forward FD ADDRESS")
	}
	fd, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.FileListener(os.NewFile(uintptr(fd), "listener"))
	if err != nil {
		log.Fatal(err)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Print(err)
			time.Sleep(10 * time.Millisecond)
			continue
		}
		go join(client.(*net.TCPConn), os.Args[2])
	}
}

// join copies both ways and hands each side's end of file to the other side.
func join(client *net.TCPConn, address string) {
	defer client.Close()
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		log.Print(err)
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	done := make(chan struct{}, 2)
	half := func(to, from *net.TCPConn) {
		if _, err := io.Copy(to, from); err != nil { // reset: end both
			to.Close()
			from.Close()
		} else {
			to.CloseWrite()
		}
		done <- struct{}{}
	}
	go half(server, client)
	go half(client, server)
	<-done
	<-done
}
