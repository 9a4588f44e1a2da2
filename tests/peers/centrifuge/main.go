// Rooms on Centrifuge, the library that Centrifugo is made of, with its own client protocol (JSON over WebSocket).
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/golang-jwt/jwt/v5"
)

const (
	historySize = 1000
	historyTTL  = 10 * time.Minute
)

func main() {
	if err := serve(); err != nil {
		log.Fatal(err)
	}
}

func serve() error {
	secret := []byte(os.Getenv("JWT_SECRET"))
	if len(secret) == 0 {
		return errors.New("JWT_SECRET must be set")
	}
	node, err := centrifuge.New(centrifuge.Config{
		LogLevel:                    centrifuge.LogLevelWarn,
		LogHandler:                  func(entry centrifuge.LogEntry) { log.Println(entry.Message, entry.Fields) },
		RecoveryMaxPublicationLimit: historySize,
	})
	if err != nil {
		return err
	}
	if url := os.Getenv("REDIS_URL"); url != "" {
		if err := useRedis(node, url); err != nil {
			return err
		}
	}
	handle(node, secret, os.Getenv("HISTORY") != "off")
	if err := node.Run(); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", or(os.Getenv("LISTEN"), "127.0.0.1:8000"))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		CheckOrigin:    func(*http.Request) bool { return true },
		PingPongConfig: centrifuge.PingPongConfig{PingInterval: 25 * time.Second, PongTimeout: 20 * time.Second},
	}))
	signals, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	failed := make(chan error, 1)
	go func() { failed <- http.Serve(listener, mux) }()
	fmt.Printf("listening on http://%s\n", listener.Addr())
	select {
	case err := <-failed:
		return err
	case <-signals.Done():
	}
	patience, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return node.Shutdown(patience)
}

// handle lets everybody with a token subscribe to rooms, and publish into those that they are subscribed to.
func handle(node *centrifuge.Node, secret []byte, history bool) {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}))
	key := func(*jwt.Token) (any, error) { return secret, nil }
	node.OnConnecting(func(_ context.Context, event centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		claims := jwt.RegisteredClaims{}
		if _, err := parser.ParseWithClaims(event.Token, &claims, key); err != nil || claims.Subject == "" {
			return centrifuge.ConnectReply{}, centrifuge.DisconnectInvalidToken
		}
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: claims.Subject}}, nil
	})
	options := centrifuge.PublishOptions{}
	if history {
		options.HistorySize, options.HistoryTTL = historySize, historyTTL
	}
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(event centrifuge.SubscribeEvent, reply centrifuge.SubscribeCallback) {
			if !strings.HasPrefix(event.Channel, "room:") {
				reply(centrifuge.SubscribeReply{}, centrifuge.ErrorUnknownChannel)
				return
			}
			reply(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{EnableRecovery: history}}, nil)
		})
		client.OnPublish(func(event centrifuge.PublishEvent, reply centrifuge.PublishCallback) {
			if !client.IsSubscribed(event.Channel) {
				reply(centrifuge.PublishReply{}, centrifuge.ErrorPermissionDenied)
				return
			}
			options := options
			options.ClientInfo = event.ClientInfo
			reply(centrifuge.PublishReply{Options: options}, nil)
		})
	})
}

// useRedis makes nodes with the same REDIS_PREFIX one server; history is kept there too.
func useRedis(node *centrifuge.Node, url string) error {
	shard, err := centrifuge.NewRedisShard(node, centrifuge.RedisShardConfig{Address: url})
	if err != nil {
		return err
	}
	broker, err := centrifuge.NewRedisBroker(node, centrifuge.RedisBrokerConfig{
		Shards: []*centrifuge.RedisShard{shard},
		Prefix: or(os.Getenv("REDIS_PREFIX"), "centrifuge"),
	})
	if err != nil {
		return err
	}
	node.SetBroker(broker)
	return nil
}

func or(value, byDefault string) string {
	if value == "" {
		return byDefault
	}
	return value
}
