package kafkalog

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// TestAPagePostsNothing: the log listens on the loopback address alone, and what a page
// in a browser sends there is no request of Kafka's: it gets no answer, however long it
// waits (a second here), and the log goes on.
func TestAPagePostsNothing(t *testing.T) {
	l, err := Start(Options{Topics: []string{"events"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	host, _, err := net.SplitHostPort(l.Brokers()[0])
	if err != nil || !net.ParseIP(host).IsLoopback() {
		t.Errorf("it listens on %s", l.Brokers()[0])
	}
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for _, body := range []string{"", "{}", strings.Repeat("\x00\x00\x00\x10\x00\x03", 1000)} {
		req, err := http.NewRequest(http.MethodPost, "http://"+l.Brokers()[0]+"/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "evil.example"
		if res, err := client.Do(req); err == nil {
			res.Body.Close()
			t.Errorf("a page is answered: %s", res.Status)
		}
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(l.Brokers()...))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("the log does not go on: %v", err)
	}
}
