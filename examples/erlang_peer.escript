#!/usr/bin/env escript
%% The other end of erlang_peer.lua: reverses each packet of one client, and ends with it.

main(_) ->
    Options = [binary, {packet, 4}, {active, false}, {reuseaddr, true}, {ip, {127, 0, 0, 1}}],
    {ok, Listener} = gen_tcp:listen(0, Options),
    {ok, Port} = inet:port(Listener),
    io:format("port ~p~n", [Port]),
    {ok, Socket} = gen_tcp:accept(Listener, 30000),
    serve(Socket).

serve(Socket) ->
    case gen_tcp:recv(Socket, 0, 10000) of
        {ok, Packet} ->
            Reversed = list_to_binary(lists:reverse(binary_to_list(Packet))),
            ok = gen_tcp:send(Socket, Reversed),
            serve(Socket);
        {error, closed} ->
            ok
    end.
