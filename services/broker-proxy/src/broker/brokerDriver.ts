import type { Route } from '@fleetgate/kit'

/** One connection of one client, as long as it lasts. */
export interface Session {
  readonly tenantId: string
  readonly clientId: string
  readonly username: string
  readonly ip: string
  readonly port: number
  /** Epoch ms; with the client id it names the connection, so no two of a client are the same. */
  readonly connectedAt: number
  readonly keepalive: number
  /** 3 = MQTT 3.1, 4 = MQTT 3.1.1 */
  readonly protoVer: number
  readonly clean: boolean
}

/** Who has sent a message. */
export type Sender = Pick<Session, 'tenantId' | 'clientId' | 'username'>

export interface LogInAttempt {
  clientId: string
  username: string | undefined
  password: Buffer | undefined
  ip: string
  port: number
  keepalive: number
  protoVer: number
  clean: boolean
}

/** Why a CONNECT is refused; the driver knows the code on the wire. */
export type Refusal = 'identifier' | 'unavailable' | 'credentials' | 'forbidden'

export class LogInRefused extends Error {
  override readonly name = 'LogInRefused'

  constructor(
    readonly refusal: Refusal,
    message: string
  ) {
    super(message)
  }
}

export interface Message {
  topic: string
  payload: Buffer
  qos: 0 | 1 | 2
}

export interface InboundMessage extends Message {
  retain: boolean
}

/** `forward`: acknowledge and pass on to subscribers of the tenant; `taken`: acknowledge, that was all. */
export type Verdict = 'forward' | 'taken'

/** What the broker asks us. */
export interface BrokerRules {
  /** Rejects with LogInRefused. */
  logIn(attempt: LogInAttempt): Promise<Session>
  /** Runs before the acknowledgement; a rejection closes the connection without one. */
  onMessage(session: Session, message: InboundMessage): Promise<Verdict>
  /** What a topic or filter that a client names is to be; asked before everything else. */
  rewrite(session: Session, topic: string): string
  maySubscribe(session: Session, filter: string): boolean
  /** Asked for each message and receiver: permissions may have changed since the subscription. */
  mayReceive(session: Session, topic: string): boolean
  mayPublish(session: Session, topic: string): boolean
  /** What a broker that decides for itself has to know of a user. */
  account(username: string): Account | undefined
  /** Who last used a client id, where the broker does not know it any more. */
  lastUser(clientId: string): Promise<{ tenantId: string; username: string } | undefined>
  /** For a remote broker: the connections that an earlier process of ours knew. */
  takeOver(): Promise<Session[]>
  /** With a remote broker every process is told. */
  onConnected(session: Session): void
  onDisconnected(session: Session, reason: string): void
  readonly watch: BrokerWatch
}

/**
 * What else happens, for whoever wants to hear of it: each event once, where several processes of ours have the same broker
 * too. A broker in a process of its own tells of connections and subscriptions only.
 */
export interface BrokerWatch {
  connected(session: Session): void
  disconnected(client: Sender, reason: string): void
  sessionCreated(session: Session): void
  sessionTerminated(session: Session, reason: string): void
  /** What a client asks for and may have, or what is asked on its behalf. */
  subscribing(client: Sender, filter: string, qos: number): void
  subscribed(client: Sender, filter: string, qos: number): void
  unsubscribing(client: Sender, filter: string): void
  unsubscribed(client: Sender, filter: string): void
  /** Whether messages to clients of this tenant are to be told at all: asked for each, so it has to be quick. */
  follows(tenantId: string): boolean
  wantsAcked(session: Session, topic: string): boolean
  /** A message was handed to the connection of a client; without a sender nobody knows any more who it was. */
  delivered(session: Session, message: InboundMessage, from?: Sender): void
  /** The client has taken it over: PUBACK, or PUBREC. */
  acked(session: Session, message: InboundMessage, from?: Sender): void
}

export interface Account {
  tenantId: string
  /** Filters that the user is denied, whatever else is granted. */
  denied: readonly string[]
}

export type LossName = 'connectionsRefused' | 'versionRefused' | 'slowDropped' | 'slowClosed'

/** A broker. `embedded` is the one in this process; `emqx` is managed over its own API. */
export interface BrokerDriver {
  readonly name: string
  /** In a process of its own: its connections outlast ours, and a message counts as sent when it has acknowledged it. */
  readonly isRemote: boolean
  /** What the broker asks us over HTTP. */
  readonly routes: readonly Route[]
  /** Takes clients from now on. */
  open(rules: BrokerRules): Promise<{ port: number; ports?: ReadonlyMap<string, number> }>
  /** What was turned away or left out to keep the rest going, since the start. */
  readonly counts?: Readonly<Record<LossName, number>>
  /** The live connection of a client, if there is one. */
  session(clientId: string): Session | undefined
  sessions(): Iterable<Session>
  /**
   * Sends to this connection alone; resolves when the bytes have left for the socket, false when it is gone. A
   * client that has not subscribed yet gets the message when it does, within a few seconds.
   */
  send(session: Session, message: Message): Promise<boolean>
  /**
   * A block of a cast (`fleet/group/{castId}/down/…`), to those of the tenant who have subscribed to `castFilter`. Resolves when
   * more may be sent. Who is slow misses it.
   */
  cast(tenantId: string, message: Message): Promise<void>
  /** To every subscriber of the tenant, retained if asked; resolves when the broker has taken it. */
  publish(tenantId: string, message: InboundMessage, from?: Sender): Promise<void>
  disconnect(session: Session, reason: string): void
  /** The permissions of this connection's user may have changed: what the broker remembers of them is void. */
  recheck(session: Session): void
  /** Closes the listener, then every connection. */
  close(): Promise<void>
}
