// The rival of the ingest benchmark: what a good engineer writes in an hour with Go's net/http and franz-go.
// It checks the signature over the raw bytes, reads key and action from the payload, publishes with the idempotent
// producer, compressed as the door does, and answers 202 after the acknowledgement. Usage: rival LISTEN BROKERS SECRET-FILE
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"
)

type payload struct {
	Action     string
	Repository struct {
		ID  int64
		URL string
	}
	Issue struct{ Number int64 }
}

func main() {
	secret, err := os.ReadFile(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	secret = bytes.TrimSpace(secret)
	client, err := kgo.NewClient(kgo.SeedBrokers(os.Args[2]), kgo.DefaultProduceTopic("github.events"),
		kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.ZstdCompression().WithLevel(1)),
		kgo.ProducerBatchMaxBytes(26<<20))
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/webhooks/github", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 25<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
			return
		}
		mac := hmac.New(sha256.New, secret)
		mac.Write(body)
		signature := r.Header.Get("X-Hub-Signature-256")
		if !hmac.Equal([]byte("sha256="+hex.EncodeToString(mac.Sum(nil))), []byte(signature)) {
			http.Error(w, "the signature does not match", http.StatusUnauthorized)
			return
		}
		var p payload
		if err := json.Unmarshal(body, &p); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		event := r.Header.Get("X-GitHub-Event")
		record := &kgo.Record{Key: []byte(fmt.Sprintf("%d#%d", p.Repository.ID, p.Issue.Number)), Value: body}
		for _, header := range [][2]string{{"ce_specversion", "1.0"}, {"ce_id", r.Header.Get("X-GitHub-Delivery")},
			{"ce_source", p.Repository.URL}, {"ce_type", "com.github." + event + "." + p.Action},
			{"ce_subject", fmt.Sprint(p.Issue.Number)}, {"content-type", "application/json"},
			{"ce_githubevent", event}, {"ce_githubsignature", signature}} {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: header[0], Value: []byte(header[1])})
		}
		if err := client.ProduceSync(r.Context(), record).FirstErr(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("port=%d\n", listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, nil))
}
