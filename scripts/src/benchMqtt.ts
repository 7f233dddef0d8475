import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { wholeNumber } from './bench/wholeNumber.js'
import { logIn } from './demo/account.js'
import { withStack } from './fleet/withStack.js'
import { ourBroker } from './mqtt/broker.js'
import { type Crowd, subscribeAll } from './mqtt/crowd.js'
import { type Mosquitto, startMosquitto } from './mqtt/mosquitto.js'
import { measurePages, type PageTimes } from './mqtt/pages.js'
import { printFigures, printPages } from './mqtt/print.js'
import { type Figures, fanOutMessages, publishers, runRound } from './mqtt/round.js'
import { ownFilter } from './mqtt/topics.js'

/**
 * The embedded broker of a whole stack beside mosquitto, in turn, with the same clients on bare sockets. What both do: take
 * the clients in, take reports of 100 of them (16 a publisher unacknowledged with QoS 1), and give 20 messages of one publisher
 * to all of them with QoS 1. Ours checks passwords, writes presence, and puts every message into the stream before it
 * acknowledges or forwards it; a report has arrived when it is in the stream, and the scheduler reads them there meanwhile.
 * Mosquitto lets everybody in and keeps nothing; a report has arrived when its one subscriber has it.
 * Usage: scripts/bench/mqtt [--clients 2000] [--messages 20000] [--rounds 3]
 */
const { values } = parseArgs({
  options: {
    clients: { type: 'string', default: '2000' },
    messages: { type: 'string', default: '20000' },
    rounds: { type: 'string', default: '3' }
  }
})
const clients = wholeNumber('clients', values.clients, 10_000)
const messages = wholeNumber('messages', values.messages, 200_000)
const rounds = wholeNumber('rounds', values.rounds, 100)
const sizes = { clients, messages }
const say = (line: string) => console.log(line)

await withStack(async (stack, dataDir) => {
  const { EMAIL: email, PASSWORD: password } = process.env
  const account = await logIn(stack.url, { dataDir, email, password, say })
  const ours = await ourBroker(account, { ...stack, dataDir })
  const results = { ours: [] as Figures[], theirs: [] as Figures[], pages: [] as PageTimes[][] }
  await withMosquitto(async (mosquitto) => {
    for (let round = 1; round <= rounds; round += 1) {
      say(`Round ${round} of ${rounds} …`)
      const askPages = async (crowd: Crowd) => {
        await crowd.timed('subscribing', () => subscribeAll(crowd, ownFilter))
        results.pages.push(await measurePages(account.session, clients))
      }
      results.ours.push(await runRound(ours, sizes, askPages))
      if (mosquitto) results.theirs.push(await runRound(mosquitto, sizes, async () => {}))
    }
  })
  const senders = Math.min(publishers, clients)
  say(`\n${clients} clients; fan-in of ${messages} from ${senders}; fan-out of ${fanOutMessages}; rounds: ${rounds}`)
  printFigures(sizes, results.ours, results.theirs)
  printPages(results.pages)
})

async function withMosquitto(work: (mosquitto: Mosquitto | undefined) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'fleetgate-bench-'))
  const mosquitto = await startMosquitto(dir)
  if (!mosquitto) say('mosquitto is not installed: our figures alone')
  try {
    await work(mosquitto)
  } finally {
    await mosquitto?.stop()
    await rm(dir, { recursive: true, force: true })
  }
}
