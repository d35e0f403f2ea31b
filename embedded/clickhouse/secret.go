package clickhouse

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Who connects. The user `default` stays, since views of earlier versions run in its
// name and the library's own session is its; no client gets in as it (see users).
const (
	User    = "microseg" // the job, its nodes and our own commands
	Analyst = "analyst"  // reads the tables of the database, within limits
)

// PasswordFile is where the password of a user of the server in dir is. It lies beside
// the folder, not in it: what is in it the server reads for whoever asks (see confine).
func PasswordFile(dir, user string) string {
	if user == User {
		return filepath.Clean(dir) + ".password"
	}
	return filepath.Clean(dir) + "." + user + ".password"
}

// secret reads the password of a user of the server in dir, or makes one where the
// file is missing or empty. Only the owner may read the file.
func secret(dir, user string) (string, error) {
	path := PasswordFile(dir, user)
	if user == User { // an earlier version had it in the folder
		if err := os.Rename(filepath.Join(dir, "password"), path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("moving ClickHouse's password out of its data folder: %w", err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading ClickHouse's password: %w", err)
	}
	if s := strings.TrimSpace(string(b)); s != "" {
		return s, private(path, 0o600)
	}
	s := rand.Text()
	if err := writePrivate(path, []byte(s+"\n")); err != nil {
		return "", fmt.Errorf("writing ClickHouse's password beside its data folder: %w", err)
	}
	return s, nil
}

// writePrivate replaces a file by one that only its owner reads; at no moment is
// there half of it, or one that others may read.
func writePrivate(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// private takes a file or folder of an earlier version from everybody else.
func private(path string, mode os.FileMode) error {
	if err := os.Chmod(path, mode); err != nil {
		return fmt.Errorf("making %s private: %w", path, err)
	}
	return nil
}

// hash is what the server's configuration holds in place of the password.
func hash(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}
