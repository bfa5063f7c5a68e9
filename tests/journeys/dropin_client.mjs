// The official JavaScript client, unmodified: runs each request of stdin at each address, and prints the answers.
// node dropin_client.mjs FOLDER_WITH_NODE_MODULES < {"urls": [...], "index": "...", "requests": [{body, params}, ...]}
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'

const { Client } = createRequire(process.argv[2] + '/')('@elastic/elasticsearch')
const { urls, index, requests } = JSON.parse(readFileSync(0, 'utf8'))

const answers = []
for (const url of urls) {
  const client = new Client({ node: url })
  const found = []
  for (const { body, params } of requests) {
    try {
      const { body: answer, headers } = await client.search({ index, ...body }, { querystring: params, meta: true })
      found.push({ answer, how: headers['x-hybrid'] ?? null })
    } catch (error) {
      found.push({ error: error.message, status: error.meta?.statusCode ?? null, answer: error.meta?.body ?? null })
    }
  }
  const several = await client.msearch({ searches: requests.slice(0, 3).flatMap(({ body }) => [{ index }, body]) })
  answers.push({ found, several })
}
console.log(JSON.stringify(answers))
