package lab_test

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

//go:embed image.sh
var imageRecipe string

// buildImage returns a folder with the image, made by this very recipe now or before.
func buildImage(cache string) (string, error) {
	sum := sha256.Sum256([]byte(imageRecipe))
	image := filepath.Join(cache, "image-"+hex.EncodeToString(sum[:6]))
	if _, err := os.Stat(image); err == nil {
		return image, nil
	}
	// Images of other recipes, and one whose making was cut short.
	stale, err := filepath.Glob(filepath.Join(cache, "image-*"))
	if err != nil {
		return "", err
	}
	for _, dir := range stale {
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
	}
	making := image + ".making"
	if err := os.MkdirAll(making, 0o755); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-s", "--", making)
	cmd.Stdin = strings.NewReader(imageRecipe)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make the containers' image: %w: %s", err, lastLines(out, 5))
	}
	return image, os.Rename(making, image)
}

func lastLines(out []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}
