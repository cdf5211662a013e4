/* peer.c: the file `listening`: five lines, `name value`, written beside and renamed.
 *
 *	instance 4f0c…            this run of the process
 *	place <boot id> <netns>   where loopback is the same as ours
 *	host 0.0.0.0              as given
 *	address 10.0.0.5          for those elsewhere; "-": there is none
 *	port 3000
 */
#include "stack/peer.h"

#include "base/buf.h"
#include "base/log.h"
#include "store/file.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#define PLACE_MAX 128u
#define FILE_MAX 1024u
#define NO_ADDRESS "-"

/* The running kernel and the network namespace: who shares both shares the loopback addresses. Not known: "?". */
static void place_of_us(char ret_place[PLACE_MAX])
{
	char boot[40] = "", netns[64] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t boot_len = fd < 0 ? -1 : read(fd, boot, sizeof boot - 1);
	ssize_t netns_len = readlink("/proc/self/ns/net", netns, sizeof netns - 1);

	if (fd >= 0)
		close(fd);
	if (boot_len > 0 && netns_len > 0)
		snprintf(ret_place, PLACE_MAX, "%.*s/%s", (int)strcspn(boot, "\n"), boot, netns);
	else
		snprintf(ret_place, PLACE_MAX, "?");
}

static bool is_any(const char *host)
{
	struct in6_addr in6;
	struct in_addr in4;

	if (inet_pton(AF_INET6, host, &in6) == 1)
		return IN6_IS_ADDR_UNSPECIFIED(&in6);
	return inet_pton(AF_INET, host, &in4) == 1 && in4.s_addr == htonl(INADDR_ANY);
}

static bool is_loopback(const char *host)
{
	struct in6_addr in6;
	struct in_addr in4;

	if (inet_pton(AF_INET6, host, &in6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&in6);
	return inet_pton(AF_INET, host, &in4) == 1 && ntohl(in4.s_addr) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
}

/* The text of an interface's address that others may reach. */
static bool address_text(const struct ifaddrs *at, int family, char ret_address[CU_API_HOST_MAX])
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)at->ifa_addr;
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)at->ifa_addr;
	const void *bytes = family == AF_INET6 ? (const void *)&in6->sin6_addr : (const void *)&in4->sin_addr;

	if (!at->ifa_addr || at->ifa_addr->sa_family != family || !(at->ifa_flags & IFF_UP) ||
	    at->ifa_flags & IFF_LOOPBACK || (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr)))
		return false;
	return inet_ntop(family, bytes, ret_address, CU_API_HOST_MAX) != NULL;
}

/* Where we can be reached from another place: the first such address of this machine. */
static void address_of_us(const char *host, char ret_address[CU_API_HOST_MAX])
{
	struct ifaddrs *all = NULL;
	bool found = false;

	snprintf(ret_address, CU_API_HOST_MAX, "%s", is_loopback(host) ? NO_ADDRESS : host);
	if (!is_any(host))
		return;
	if (getifaddrs(&all) < 0)
		all = NULL;
	for (struct ifaddrs *at = all; at && !found; at = at->ifa_next)
		found = address_text(at, AF_INET, ret_address);
	for (struct ifaddrs *at = all; at && !found && strchr(host, ':'); at = at->ifa_next)
		found = address_text(at, AF_INET6, ret_address);
	if (!found)
		snprintf(ret_address, CU_API_HOST_MAX, NO_ADDRESS);
	freeifaddrs(all);
}

static int publish(const char *dir, const cu_buf *text)
{
	char *path = cu_file_path("%s/listening", dir), *fresh = cu_file_path("%s/listening.tmp", dir);
	int fd = -1;
	int rc = cu_file_open(&cu_file_system, fresh, O_WRONLY | O_CREAT | O_TRUNC, &fd);

	if (rc == 0)
		rc = cu_file_write_at(&cu_file_system, fd, text->data, text->len, 0);
	cu_file_close(&cu_file_system, &fd);
	if (rc == 0)
		rc = cu_file_rename(&cu_file_system, fresh, path);
	free(path);
	free(fresh);
	return rc;
}

int cu_peer_name(char ret_instance[CU_API_INSTANCE_TEXT_MAX])
{
	uint64_t random[2];

	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
		cu_error("the system gives no random numbers", CU_KV("error", strerror(errno)));
		return CU_EIO;
	}
	snprintf(ret_instance, CU_API_INSTANCE_TEXT_MAX, "%016" PRIx64 "%016" PRIx64, random[0], random[1]);
	return 0;
}

int cu_peer_publish(const char *dir, const char *host, uint16_t port, const char *instance)
{
	char place[PLACE_MAX], address[CU_API_HOST_MAX];
	cu_buf text = CU_BUF_INIT;
	int rc;

	place_of_us(place);
	address_of_us(host, address);
	cu_buf_printf(&text, "instance %s\nplace %s\nhost %s\naddress %s\nport %u\n", instance, place, host, address,
		      (unsigned)port);
	rc = cu_buf_failed(&text) ? CU_ENOMEM : publish(dir, &text);
	cu_buf_fini(&text);
	if (rc == 0)
		return 0;
	cu_warn("instances that wait cannot be told where this one listens: they answer 503", CU_KV("directory", dir),
		CU_KV("error", cu_strerror(rc)));
	cu_peer_withdraw(dir);
	return rc;
}

void cu_peer_withdraw(const char *dir)
{
	char *path = cu_file_path("%s/listening", dir);

	cu_file_unlink(&cu_file_system, path);
	free(path);
}

static bool read_file(const char *dir, char ret_text[FILE_MAX])
{
	char *path = cu_file_path("%s/listening", dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, ret_text, FILE_MAX - 1);

	if (fd >= 0)
		close(fd);
	free(path);
	ret_text[CU_MAX(len, 0)] = '\0';
	return len > 0;
}

bool cu_peer_find(const char *dir, struct cu_api_peer *ret_peer)
{
	char text[FILE_MAX], place[PLACE_MAX], ours[PLACE_MAX], host[CU_API_HOST_MAX], address[CU_API_HOST_MAX];
	struct cu_api_peer peer;
	unsigned port;

	if (!read_file(dir, text) ||
	    sscanf(text, "instance %39[0-9a-f]\nplace %127s\nhost %63s\naddress %63s\nport %5u", peer.instance, place,
		   host, address, &port) != 5 ||
	    port == 0 || port > UINT16_MAX)
		return false;
	place_of_us(ours);
	if (strcmp(place, ours) != 0 || strcmp(place, "?") == 0)
		memcpy(peer.host, address, sizeof peer.host);
	else if (is_any(host))
		memcpy(peer.host, "127.0.0.1", sizeof "127.0.0.1"); /* :: takes IPv4 as well */
	else
		memcpy(peer.host, host, sizeof peer.host);
	peer.port = (uint16_t)port;
	if (strcmp(peer.host, NO_ADDRESS) == 0)
		return false;
	*ret_peer = peer;
	return true;
}
