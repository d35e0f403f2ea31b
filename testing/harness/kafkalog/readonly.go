package kafkalog

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// SetReadOnly has the log refuse records with KAFKA_STORAGE_ERROR, which clients
// send again, or take them again. The log itself has no reserve: on a disk that
// is full it answers with an error for which clients give up.
func (l *Log) SetReadOnly(on bool) { l.readOnly.Store(on) }

// guard answers requests to produce while the log is read-only.
func (l *Log) guard() {
	l.cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if !l.readOnly.Load() {
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
