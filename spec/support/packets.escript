#!/usr/bin/env escript
%% Sends back each packet of its clients: packets.escript BYTES, those of the length before each.
main([Bytes]) ->
    Options = [binary, {ip, {127, 0, 0, 1}}, {packet, list_to_integer(Bytes)}, {active, false}],
    {ok, Listener} = gen_tcp:listen(0, Options),
    {ok, Port} = inet:port(Listener),
    io:format("port ~b~n", [Port]),
    accept(Listener).

accept(Listener) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    echo(Socket),
    accept(Listener).

echo(Socket) ->
    case gen_tcp:recv(Socket, 0, 10000) of
        {ok, Packet} ->
            ok = gen_tcp:send(Socket, Packet),
            echo(Socket);
        {error, _} ->
            gen_tcp:close(Socket)
    end.
