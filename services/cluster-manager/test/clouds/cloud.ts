import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ProviderType } from '../../src/providers/driver.js'
import type { Infos } from '../../src/providers/providerFields.js'
import type { Test } from '../support.js'

export interface FakeMachine {
  id: string
  tag: string
  cluster: string
  name: string
  /** Of the machine as it was ordered, whatever the cloud calls them. */
  order: {
    publicKey: string
    user: string
    image: string
    size: string
    groups: string[]
    network: string
    /** Disks that stay when the machine goes. */
    lasting?: string[]
    /** What only this cloud has. */
    more?: Record<string, unknown>
  }
  address: string
  privateAddress: string
  /** Looks at it so far, since it was ordered or told to go. */
  looks: number
  isGoing: boolean
  isFailed: boolean
  createdAt: number
}

/** `quota` and `credentials` are refused, `throttled` and `unavailable` are to be tried again, `silent` does what it is told and never answers. */
export type Fault = 'quota' | 'throttled' | 'unavailable' | 'credentials' | 'silent'

export interface Rule {
  ports: number[]
  /** CIDR, or the group itself. */
  from: string
}

/** What a cloud has, whatever language it speaks. Time passes by being looked at. */
export interface Cloud {
  type: ProviderType
  url: string
  /** Fields of a provider that can make machines here. */
  infos: Partial<Infos>
  machines: Map<string, FakeMachine>
  /** By name. */
  keys: Map<string, string>
  groups: Map<string, Rule[]>
  /** Addresses that are let: by the id of a machine. */
  floating: Map<string, string>
  /** Disks of machines that are gone. */
  disks: string[]
  /** Creations that were taken, of machines that are gone too. */
  created: string[]
  /** Each creation takes the first. */
  createFaults: Fault[]
  /** Each request takes the first. */
  faults: Fault[]
  /** Of the next machines: they end in the cloud's state for failure. */
  failing: number
  /** Looks until a machine runs, or is gone. */
  slowness: number
  pageSize: number
  /** The account's keys and rules are at its quota. */
  isFull: boolean
  /** OpenStack that defers deletions: a plain one keeps the machine, and no list shows it. */
  isDeferring: boolean
  /** OpenStack whose policy refuses deletions that are forced. */
  isPlain: boolean
  /** As if every token had run out. */
  expireTokens(): void
  /** Where machines get their addresses; the next of 10.9.0.x otherwise. */
  place: (machine: FakeMachine) => Promise<string>
  onGone: (machine: FakeMachine) => void
}

export function newCloud(type: ProviderType): Cloud {
  let count = 0
  return {
    type,
    url: '',
    infos: {},
    machines: new Map(),
    keys: new Map(),
    groups: new Map(),
    floating: new Map(),
    disks: [],
    created: [],
    createFaults: [],
    faults: [],
    failing: 0,
    slowness: 1,
    pageSize: 100,
    isFull: false,
    isDeferring: false,
    isPlain: false,
    expireTokens: () => {},
    place: async () => {
      count += 1
      return `10.9.0.${count}`
    },
    onGone: () => {}
  }
}

/** Whether nothing of anybody is left. */
export function isEmpty({ machines, keys, groups, floating, disks }: Cloud): boolean {
  return machines.size + keys.size + groups.size + floating.size + disks.length === 0
}

export async function order(
  cloud: Cloud,
  asked: Pick<FakeMachine, 'id' | 'tag' | 'cluster' | 'name' | 'order'>
): Promise<FakeMachine> {
  const isFailed = cloud.failing > 0
  if (isFailed) cloud.failing -= 1
  const machine = {
    ...asked,
    address: '',
    privateAddress: '',
    looks: 0,
    isGoing: false,
    isFailed,
    createdAt: Date.now()
  }
  cloud.machines.set(machine.id, machine)
  cloud.created.push(machine.tag)
  machine.address = await cloud.place(machine)
  machine.privateAddress = machine.address.replace('10.9.', '10.8.')
  return machine
}

/** Each look brings a machine on its way further. */
export function look(cloud: Cloud, machine: FakeMachine): 'pending' | 'running' | 'failed' | 'going' | 'gone' {
  machine.looks += 1
  const isThrough = machine.looks > cloud.slowness
  if (machine.isGoing) return isThrough ? vanish(cloud, machine) : 'going'
  return isThrough ? (machine.isFailed ? 'failed' : 'running') : 'pending'
}

export function leave(machine: FakeMachine): void {
  if (!machine.isGoing) Object.assign(machine, { isGoing: true, looks: 0 })
}

export function vanish(cloud: Cloud, machine: FakeMachine): 'gone' {
  if (cloud.machines.delete(machine.id)) {
    cloud.disks.push(...(machine.order.lasting ?? []))
    cloud.onGone(machine)
  }
  return 'gone'
}

export interface FakeRequest {
  method: string
  url: URL
  headers: IncomingHttpHeaders
  body: string
}

export interface FakeAnswer {
  status: number
  body: string
  headers?: Record<string, string>
  /** Done, and nobody is told. */
  isSilent?: boolean
}

export async function serve(t: Test, answer: (request: FakeRequest) => Promise<FakeAnswer>): Promise<string> {
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { method = '', headers } = request
    const url = new URL(request.url ?? '/', 'http://cloud')
    const {
      status,
      body,
      headers: more,
      isSilent
    } = await answer({ method, url, headers, body: Buffer.concat(chunks).toString() })
    if (isSilent) return
    response.writeHead(status, more)
    response.end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export function json(status: number, value: unknown, headers: Record<string, string> = {}): FakeAnswer {
  return { status, body: JSON.stringify(value), headers: { 'content-type': 'application/json', ...headers } }
}
