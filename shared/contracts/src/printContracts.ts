import { writeFileSync } from 'node:fs'
import { loadContractList } from './contractList.js'

// Two folders up from dist/src: beside package.json.
const file = new URL('../../CONTRACTS.md', import.meta.url)
writeFileSync(file, loadContractList())
process.stdout.write(`wrote ${file.pathname}\n`)
