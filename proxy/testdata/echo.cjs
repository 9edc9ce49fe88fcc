// A provider that tells in each reply how Node's parser read the request:
// node echo.cjs SOCKET strict|lenient
'use strict'
const http = require('node:http')

let seq = 0
let broken = 0
const server = http.createServer({ insecureHTTPParser: process.argv[3] === 'lenient', keepAliveTimeout: 60000 }, (req, res) => {
  const parts = []
  req.on('data', (part) => parts.push(part))
  req.on('end', () => {
    const headers = []
    for (let i = 0; i < req.rawHeaders.length; i += 2) {
      headers.push({ Name: req.rawHeaders[i], Value: Buffer.from(req.rawHeaders[i + 1], 'latin1').toString('base64') })
    }
    const view = { Seq: ++seq, Broken: broken, Method: req.method, Target: req.url, Headers: headers, Body: Buffer.concat(parts).toString('base64') }
    res.setHeader('View', Buffer.from(JSON.stringify(view)).toString('base64'))
    res.end('seen')
  })
})
server.on('clientError', (err, socket) => {
  broken++
  socket.destroy()
})
server.listen(process.argv[2])
