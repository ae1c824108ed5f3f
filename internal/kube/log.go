package kube

import (
	"fmt"
	"io"

	"github.com/go-logr/logr"
	"github.com/go-logr/zapr"
	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Log is how a program logs.
type Log struct {
	Format string // "json" or "console"
	Level  string // "error", "info" or "debug"; debug is logr's V(1)
}

// DefaultLog is what the flags say when nobody sets them.
func DefaultLog() Log { return Log{Format: "json", Level: "info"} }

// AddFlags puts --log-format and --log-level into fs; what l holds now are the defaults.
func (l *Log) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&l.Format, "log-format", l.Format, "json or console")
	fs.StringVar(&l.Level, "log-level", l.Level, "error, info or debug")
}

// New returns a logger that writes to w. It fails on a format or level that does not exist.
func (l Log) New(w io.Writer) (logr.Logger, error) {
	level, err := zapcore.ParseLevel(l.Level)
	if err != nil {
		return logr.Discard(), fmt.Errorf("--log-level: %w", err)
	}
	encoder, err := l.encoder()
	if err != nil {
		return logr.Discard(), err
	}
	core := zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), level)
	return zapr.NewLogger(zap.New(core)), nil
}

func (l Log) encoder() (zapcore.Encoder, error) {
	c := zap.NewProductionEncoderConfig()
	c.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	switch l.Format {
	case "json":
		return zapcore.NewJSONEncoder(c), nil
	case "console":
		c.EncodeLevel = zapcore.CapitalLevelEncoder
		return zapcore.NewConsoleEncoder(c), nil
	}
	return nil, fmt.Errorf("--log-format: %q is neither json nor console", l.Format)
}
