// The headers in a C++ program: an actor written with lambdas.
#include <copper/consumer_registry.h>

#include <cstdio>

int main()
{
	static const cu_behaviour behaviour = {
		"adder",
		nullptr,
		[](cu_actor_ctx *, void *state, cu_message *msg) {
			*static_cast<int *>(state) += *static_cast<int *>(msg->payload);
			return CU_VERDICT_CONTINUE;
		},
		nullptr,
		nullptr,
		nullptr,
	};
	int sum = 0, two = 2;
	cu_actor_system *sys;
	cu_actor_call call{};

	if (cu_actor_system_new(nullptr, &sys) != 0 || cu_actor_start(sys, &behaviour, &sum, &call.id) != 0)
		return 1;
	call.type = CU_MSG_USER;
	call.payload = &two;
	for (int i = 0; i < 21; i++)
		cu_actor_call_many(sys, &call, 1);
	cu_actor_system_free(&sys);
	std::printf("%d\n", sum);
	return sum == 42 ? 0 : 1;
}
