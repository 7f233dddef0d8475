// Apart from the rest, so that an agent in a process of its own need not load the test kit: that is half of its start.
import type { Log } from '../src/log.js'

export const clientId = 'till-1'
export const quiet: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
