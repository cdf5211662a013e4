/* corpus_main.c: replays a fuzz target's corpus (and an empty input) without libFuzzer, as an ordinary test. */
#include <dirent.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static int replay(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t len = 0, cap = 0;

	if (!file) {
		perror(path);
		return 1;
	}
	do {
		cap = cap ? cap * 2 : 4096;
		data = realloc(data, cap);
		if (!data)
			abort();
		len += fread(data + len, 1, cap - len, file);
	} while (len == cap);
	fclose(file);
	/* An exact allocation, so that the sanitizer sees reads past the end. */
	data = realloc(data, len ? len : 1);
	LLVMFuzzerTestOneInput(data, len);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	int files = 0;

	LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		struct dirent *entry;

		if (!dir) {
			perror(argv[i]);
			return 1;
		}
		while ((entry = readdir(dir))) {
			char path[PATH_MAX];

			if (entry->d_name[0] == '.')
				continue;
			snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
			if (replay(path))
				return 1;
			files++;
		}
		closedir(dir);
	}
	printf("%d corpus files replayed\n", files);
	return files > 0 ? 0 : 1;
}
