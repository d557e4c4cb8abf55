// A file of likes, one line per change: sequence, URI, subject (empty if the like is gone). See ../README.md.
//
//	likes NATS_URL DURABLE FILE [--new] [--no-ack]
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const stream, likes = "KV_record", "$KV.record.*.app.bsky.feed.like.*.*" // exactly this collection; ">" would match longer names

var escaped = regexp.MustCompile("/[0-9A-F]{2}")

func decode(token string) string {
	return escaped.ReplaceAllStringFunc(token, func(e string) string {
		unit, _ := strconv.ParseUint(e[1:], 16, 8)
		return string(rune(unit))
	})
}

// Reads a key from the right: an NSID spans several tokens.
func uri(subject string) string {
	t := strings.Split(subject, ".")
	n := len(t)
	return "at://" + decode(t[n-2]) + "/" + strings.Join(t[3:n-2], ".") + "/" + decode(t[n-1])
}

func liked(data []byte) string {
	var like struct{ Subject struct{ URI string } }
	_ = json.Unmarshal(data, &like) // a delete is empty, and any account may have written the rest
	return like.Subject.URI
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err) // a restart rewinds
	}
	return value
}

// The durable begins right behind what is done: by its own floor with acks, by the file (after) without.
func rewind(js jetstream.JetStream, s jetstream.Stream, durable string, ack bool, after uint64) jetstream.Consumer {
	ctx := context.Background()
	config := jetstream.ConsumerConfig{Durable: durable, FilterSubject: likes, AckPolicy: jetstream.AckNonePolicy,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy}
	if ack {
		config.AckPolicy = jetstream.AckExplicitPolicy
	}
	there, err := s.Consumer(ctx, durable)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		log.Fatal(err)
	}
	if err == nil {
		if ack {
			after = there.CachedInfo().AckFloor.Stream
			end := must(s.Info(ctx)).State.LastSeq // a reset beyond it is accepted, and delivers nothing
			if js.Conn().ConnectedServerVersion() >= "2.14" && after < end {
				must(s.ResetConsumerToSequence(ctx, durable, after+1))
				return must(s.Consumer(ctx, durable))
			}
		}
		must(0, s.DeleteConsumer(ctx, durable))
	}
	config.OptStartSeq = after + 1
	return must(s.CreateConsumer(ctx, config))
}

func main() {
	url, durable, path, options := os.Args[1], os.Args[2], os.Args[3], os.Args[4:]
	ack := !slices.Contains(options, "--no-ack")
	file := must(os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644))
	text := must(os.ReadFile(path))
	text = text[:bytes.LastIndexByte(text, '\n')+1]
	must(0, file.Truncate(int64(len(text)))) // a kill may have left half a line

	nc := must(nats.Connect(url, nats.NoReconnect())) // if cut off, it ends; a restart rewinds
	js := must(jetstream.New(nc))
	s := must(js.Stream(context.Background(), stream))
	var after uint64
	if lines := bytes.Fields(text[bytes.LastIndexByte(bytes.TrimSuffix(text, []byte("\n")), '\n')+1:]); len(lines) > 0 {
		after = must(strconv.ParseUint(string(lines[0]), 10, 64))
	} else if slices.Contains(options, "--new") {
		after = s.CachedInfo().State.LastSeq
		if !ack { // "new" is from now on, not from the next start
			must(fmt.Fprintf(file, "%d\t\t\n", after))
		}
	}
	messages := must(rewind(js, s, durable, ack, after).Messages(jetstream.PullMaxMessages(500)))
	for expected := uint64(1); ; expected++ {
		m := must(messages.Next())
		at := must(m.Metadata())
		if at.Sequence.Consumer != expected { // a killed predecessor's request may still receive some
			log.Fatal("a message is missing: start again")
		}
		must(fmt.Fprintf(file, "%d\t%s\t%s\n", at.Sequence.Stream, uri(m.Subject()), liked(m.Data())))
		if ack { // only what is written
			must(0, m.Ack())
		}
	}
}
