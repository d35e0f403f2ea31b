// Command microseg-lambda is /api/personalize and the fragments as an AWS Lambda
// function, behind an HTTP API or a function URL.
//
//	MICROSEG_TOKEN_KEYS  id:hex[,id:hex], as the nodes have them
//	MICROSEG_SITE        the site that tokens are good for; default the configuration's
//	MICROSEG_CONFIG      a configuration file in the package; default the shipped one
//	MICROSEG_NODE        a serving node, https://host: it is asked first, since it
//	                     knows the visitor; without it, or when it does not answer
//	                     in time, the token or claim in the request decides
package main

import (
	"fmt"
	"net/http"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/microseg/microseg/config"
	edge "github.com/microseg/microseg/serving/edge/lambda"
	"github.com/microseg/microseg/serving/node"
)

func main() {
	h, err := handler()
	if err != nil {
		fmt.Fprintln(os.Stderr, "microseg-lambda:", err)
		os.Exit(1)
	}
	lambda.Start(edge.Handler(h))
}

func handler() (http.Handler, error) {
	cfg, err := config.Load(os.Getenv("MICROSEG_CONFIG"))
	if err != nil {
		return nil, err
	}
	secrets, err := node.SecretsFromEnv()
	if err != nil {
		return nil, err
	}
	site := os.Getenv("MICROSEG_SITE")
	if site == "" {
		site = cfg.Site
	}
	api, err := node.API(cfg, node.Options{Site: site, Secrets: secrets})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	api.Register(mux)
	return edge.NodeFirst(os.Getenv("MICROSEG_NODE"), mux)
}
