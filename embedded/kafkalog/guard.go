package kafkalog

import (
	"github.com/microseg/microseg/embedded/diskspace"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// guard refuses records, with KAFKA_STORAGE_ERROR, which clients send again, while
// the disk has less than minFree bytes. kfake itself tries to write, takes back
// what it could not, and answers UNKNOWN_SERVER_ERROR, for which clients give up:
// a job ended of it. A disk can fill up between two looks of a watch, so every
// request looks; it takes about a microsecond.
func (l *Log) guard(dir string, minFree uint64) {
	l.cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if n, err := diskspace.Free(dir); err == nil && n >= minFree {
			return nil, nil, false
		}
		l.cluster.KeepControl()
		return refusal(r.(*kmsg.ProduceRequest)), nil, true
	})
}

func refusal(req *kmsg.ProduceRequest) *kmsg.ProduceResponse {
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	why := "the log's disk is nearly full"
	for _, t := range req.Topics {
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			part := kmsg.NewProduceResponseTopicPartition()
			part.Partition, part.ErrorCode, part.ErrorMessage = p.Partition, kerr.KafkaStorageError.Code, &why
			topic.Partitions = append(topic.Partitions, part)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}
